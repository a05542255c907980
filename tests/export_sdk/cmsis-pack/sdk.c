/* A timer signal every millisecond is the interrupt: SysTick counts, and at most BYTES_PER_MS bytes arrive. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/time.h>

#include "Driver_USART.h"
#include "device_double.h"
#include "stdio_line.h"

#define BYTES_PER_MS 12 /* 115200 baud */

void SysTick_Handler(void);

SysTick_Type sdk_double_systick;
uint32_t SystemCoreClock = 1000000u;

static ARM_USART_SignalEvent_t on_event;
static uint8_t *volatile wanted;

static void interrupt(int number)
{
    (void)number;
    SysTick_Handler();
    for (int i = 0; i < BYTES_PER_MS && wanted != NULL && stdio_line_waits(0); i++) {
        uint8_t *data = wanted;
        wanted = NULL;
        (void)stdio_line_read(data, 1);
        on_event(ARM_USART_EVENT_RECEIVE_COMPLETE);
    }
}

void SystemCoreClockUpdate(void)
{
    SystemCoreClock = 64000000u;
}

uint32_t SysTick_Config(uint32_t ticks)
{
    sdk_double_systick.LOAD = ticks - 1u;
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
    (void)sigaction(SIGALRM, &action, NULL);
    const struct itimerval period = {{0, 1000}, {0, 1000}};
    return (uint32_t)setitimer(ITIMER_REAL, &period, NULL);
}

void sdk_double_wfi(void)
{
    (void)poll(NULL, 0, 2); /* the signal ends it */
}

static int32_t initialize(ARM_USART_SignalEvent_t callback)
{
    on_event = callback;
    return 0;
}

static int32_t power_control(ARM_POWER_STATE state)
{
    return state == ARM_POWER_FULL ? 0 : -1;
}

static int32_t send_bytes(const void *data, uint32_t count)
{
    const uint8_t *bytes = data;
    for (size_t sent = 0; sent < count;) {
        sent += stdio_line_write(bytes + sent, count - sent);
    }
    return 0;
}

static int32_t receive_bytes(void *data, uint32_t count)
{
    wanted = count == 1u ? data : NULL;
    return count == 1u ? 0 : -1;
}

static int32_t control(uint32_t code, uint32_t value)
{
    (void)code;
    (void)value;
    return 0;
}

static ARM_USART_STATUS get_status(void)
{
    const ARM_USART_STATUS idle = {0, 0};
    return idle;
}

extern ARM_DRIVER_USART Driver_USART0;
ARM_DRIVER_USART Driver_USART0 = {initialize, power_control, send_bytes, receive_bytes, control, get_status};

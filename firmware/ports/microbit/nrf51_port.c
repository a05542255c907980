/* Port of the nRF51822 on the micro:bit: receive and transmit by interrupt, microseconds from TIMER0 (this core
 * has no SysTick). Register offsets after the nRF51 Series Reference Manual. */
#include <stdbool.h>

#include "board.h"
#include "core.h"
#include "kit_port.h"
#include "rx_ring.h"
#include "tick_clock.h"
#include "tx_ring.h"

#define UART(offset) KIT_REG32(0x40002000u + (offset))
#define UART_STARTRX UART(0x000u)
#define UART_STARTTX UART(0x008u)
#define UART_RXDRDY UART(0x108u)
#define UART_TXDRDY UART(0x11Cu)
#define UART_INTENSET UART(0x304u)
#define UART_INTENCLR UART(0x308u)
#define UART_ERRORSRC UART(0x480u) /* bit 0 overrun (write 1 clears) */
#define UART_ENABLE UART(0x500u)
#define UART_PSELTXD UART(0x50Cu)
#define UART_PSELRXD UART(0x514u)
#define UART_RXD UART(0x518u)
#define UART_TXD UART(0x51Cu)
#define UART_BAUDRATE UART(0x524u)
#define INT_RXDRDY (1u << 2)
#define INT_TXDRDY (1u << 7)

#define TIMER(offset) KIT_REG32(0x40008000u + (offset))
#define TIMER_START TIMER(0x000u)
#define TIMER_CAPTURE0 TIMER(0x040u)
#define TIMER_COMPARE1 TIMER(0x144u)
#define TIMER_INTENSET TIMER(0x304u)
#define TIMER_BITMODE TIMER(0x508u)
#define TIMER_PRESCALER TIMER(0x510u)
#define TIMER_CC0 TIMER(0x540u)
#define TIMER_CC1 TIMER(0x544u)
#define INT_COMPARE1 (1u << 17)

#define PIN_TX 24u /* to the USB interface chip */
#define PIN_RX 25u
#define BAUD_115200 0x01D7E000u
#define TICKS_PER_US 16u /* TIMER0 at the clock of the core, so that probes may count with it */
#define IDLE_TICKS_MAX (1000u * TICKS_PER_US)

static kit_rx_ring_t ring;
static kit_tx_ring_t tx_ring;
static volatile uint32_t overruns;
static volatile bool rx_stopped;
static volatile bool tx_busy; /* a byte is on its way; TXDRDY follows */

void kit_uart_irq(void);
void kit_timer_irq(void);

/* Give the UART its next byte when it can take one; with the interrupt held off, or from it. */
static void send_next(void)
{
    if (UART_TXDRDY != 0) {
        UART_TXDRDY = 0;
        tx_busy = false;
    }
    if (!tx_busy && !kit_tx_ring_empty(&tx_ring)) {
        tx_busy = true;
        UART_TXD = kit_tx_ring_take(&tx_ring);
    }
}

static void receive_all(void)
{
    while (UART_RXDRDY != 0) {
        if (kit_rx_ring_full(&ring)) {
            /* The UART keeps up to six more bytes; the main loop takes up again when it has made room. */
            UART_INTENCLR = INT_RXDRDY;
            rx_stopped = true;
            return;
        }
        UART_RXDRDY = 0; /* before reading: the next byte sets it again */
        kit_rx_ring_put(&ring, (uint8_t)UART_RXD);
    }
    if ((UART_ERRORSRC & 1u) != 0) {
        UART_ERRORSRC = 1u;
        overruns++;
    }
}

void kit_uart_irq(void)
{
    send_next();
    if (!rx_stopped) {
        receive_all();
    }
}

void kit_timer_irq(void)
{
    TIMER_COMPARE1 = 0;
}

void kit_port_init(void)
{
    TIMER_BITMODE = 3u;   /* 32 bits */
    TIMER_PRESCALER = 0;  /* 16 MHz */
    TIMER_INTENSET = INT_COMPARE1;
    TIMER_START = 1u;
    UART_PSELTXD = PIN_TX;
    UART_PSELRXD = PIN_RX;
    UART_BAUDRATE = BAUD_115200;
    UART_ENABLE = 4u;
    UART_STARTTX = 1u;
    UART_STARTRX = 1u;
    UART_INTENSET = INT_RXDRDY | INT_TXDRDY;
    kit_irq_enable(KIT_BOARD_UART_IRQ);
    kit_irq_enable(KIT_BOARD_TIMER_IRQ);
}

size_t kit_port_read(uint8_t *data, size_t bytes)
{
    const size_t count = kit_rx_ring_take(&ring, data, bytes);
    if (rx_stopped && !kit_rx_ring_full(&ring)) {
        kit_interrupts_off();
        rx_stopped = false;
        UART_INTENSET = INT_RXDRDY;
        receive_all();
        kit_interrupts_on();
    }
    return count;
}

size_t kit_port_write(const uint8_t *data, size_t bytes)
{
    const size_t count = kit_tx_ring_put(&tx_ring, data, bytes);
    if (count != 0) {
        /* An idle line gives no interrupt: send the first byte from here. */
        kit_interrupts_off();
        send_next();
        kit_interrupts_on();
    }
    return count;
}

uint32_t kit_port_rx_overruns(void)
{
    return overruns;
}

kit_port_rx_queue_t kit_port_rx_queue(void)
{
    return kit_rx_ring_queue(&ring);
}

static uint32_t ticks_now(void)
{
    TIMER_CAPTURE0 = 1u;
    return TIMER_CC0;
}

uint32_t kit_port_time_us(void)
{
    static kit_tick_clock_t clock;
    return kit_tick_clock_us(&clock, ticks_now(), TICKS_PER_US);
}

const char *kit_port_name(void)
{
    return KIT_BOARD_NAME;
}

void kit_port_idle(void)
{
    kit_interrupts_off();
    if (kit_rx_ring_empty(&ring)) {
        /* A compare event at most a millisecond ahead ends the sleep when no byte does. Where that moment has passed by
         * now (an emulator that its machine held up), the event would be a turn of the counter away: no sleep then. */
        const uint32_t begun = ticks_now();
        TIMER_CC1 = begun + IDLE_TICKS_MAX;
        if (ticks_now() - begun < IDLE_TICKS_MAX) {
            kit_wait_for_interrupt();
        }
    }
    kit_interrupts_on();
}

/* Port of QEMU's RISC-V machine "virt": 16550 UART with receive by interrupt and transmit by polling, microseconds from
 * the timer of the CLINT, whose compare interrupt also ends a sleep. */
#include "board.h"
#include "core.h"
#include "kit_port.h"
#include "rx_ring.h"
#include "tick_clock.h"

#define UART(offset) KIT_REG8(KIT_BOARD_UART_BASE + (offset))
#define UART_DATA UART(0u)         /* receive on reading, transmit on writing; divisor low while LCR bit 7 is set */
#define UART_IER UART(1u)          /* bit 0 receive interrupt; divisor high while LCR bit 7 is set */
#define UART_FIFO_CONTROL UART(2u) /* bit 0 on, 1 and 2 clear, 6 and 7 receive level */
#define UART_LINE_CONTROL UART(3u)
#define UART_LINE_STATUS UART(5u) /* reading clears the overrun bit */

#define LINE_8N1 3u
#define LINE_DIVISOR 0x80u
#define FIFO_ON_CLEARED 7u
#define IER_RECEIVE 1u
#define STATUS_RX_READY 1u
#define STATUS_RX_OVERRUN 2u
#define STATUS_TX_EMPTY 0x20u
#define TX_FIFO_BYTES 16u

#define TICKS_PER_US (KIT_BOARD_CLINT_HZ / 1000000u)
#define IDLE_US_MAX 1000u

static kit_rx_ring_t ring;
static volatile uint32_t overruns;

void kit_uart_irq(void);
void kit_timer_irq(void);

/* With interrupts off: reading clears the overrun bit, so that every reader has to count it. */
static uint8_t uart_status(void)
{
    const uint8_t status = UART_LINE_STATUS;
    if ((status & STATUS_RX_OVERRUN) != 0) {
        overruns++;
    }
    return status;
}

void kit_uart_irq(void)
{
    while ((uart_status() & STATUS_RX_READY) != 0) {
        if (kit_rx_ring_full(&ring)) {
            /* The UART's own FIFO keeps some more bytes; the main loop takes up again when it has made room. */
            UART_IER = 0;
            return;
        }
        kit_rx_ring_put(&ring, UART_DATA);
    }
}

static void timer_off(void)
{
    KIT_CLINT_MTIMECMP_HIGH = UINT32_MAX;
}

void kit_timer_irq(void)
{
    timer_off();
}

/* Let the timer interrupt in so many microseconds. */
static void timer_in(uint32_t delay_us)
{
    uint32_t high;
    uint32_t low;
    do {
        high = KIT_CLINT_MTIME_HIGH;
        low = KIT_CLINT_MTIME_LOW;
    } while (high != KIT_CLINT_MTIME_HIGH);
    const uint32_t at = low + delay_us * TICKS_PER_US;
    /* High word last, because until then it holds the compare value beyond any time. */
    KIT_CLINT_MTIMECMP_LOW = at;
    KIT_CLINT_MTIMECMP_HIGH = at < low ? high + 1u : high;
}

void kit_port_init(void)
{
    const uint32_t divisor = KIT_BOARD_UART_HZ / (16u * 115200u);
    timer_off();
    UART_IER = 0;
    UART_LINE_CONTROL = LINE_8N1 | LINE_DIVISOR;
    UART_DATA = (uint8_t)divisor;
    UART_IER = (uint8_t)(divisor >> 8);
    UART_LINE_CONTROL = LINE_8N1;
    UART_FIFO_CONTROL = FIFO_ON_CLEARED;
    UART_IER = IER_RECEIVE;
    /* QEMU delivers the first byte up to a second late unless the data register is read once after enabling. */
    (void)UART_DATA;
    __asm volatile("csrs mie, %0" ::"r"(KIT_MIE_TIMER) : "memory");
    kit_irq_enable(KIT_BOARD_UART_IRQ);
}

size_t kit_port_read(uint8_t *data, size_t bytes)
{
    const size_t count = kit_rx_ring_take(&ring, data, bytes);
    if (UART_IER == 0 && !kit_rx_ring_full(&ring)) {
        /* The interrupt stopped at a full ring. */
        kit_interrupts_off();
        UART_IER = IER_RECEIVE;
        kit_uart_irq();
        kit_interrupts_on();
    }
    return count;
}

size_t kit_port_write(const uint8_t *data, size_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    kit_interrupts_off();
    const bool empty = (uart_status() & STATUS_TX_EMPTY) != 0;
    kit_interrupts_on();
    size_t count = 0;
    while (empty && count < bytes && count < TX_FIFO_BYTES) {
        UART_DATA = data[count++];
    }
    return count;
}

uint32_t kit_port_rx_overruns(void)
{
    return overruns;
}

uint32_t kit_port_time_us(void)
{
    static kit_tick_clock_t clock;
    return kit_tick_clock_us(&clock, KIT_CLINT_MTIME_LOW, TICKS_PER_US);
}

const char *kit_port_name(void)
{
    return KIT_BOARD_NAME;
}

void kit_port_idle(void)
{
    /* Interrupts off closes the gap between looking and sleeping; a pending one still wakes the core. */
    kit_interrupts_off();
    if (kit_rx_ring_empty(&ring)) {
        timer_in(IDLE_US_MAX);
        kit_wait_for_interrupt();
        timer_off();
    }
    kit_interrupts_on();
}

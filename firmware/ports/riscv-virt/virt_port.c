/* Port of QEMU's RISC-V machine "virt": 16550 UART with receive and transmit by interrupt, microseconds from the timer
 * of the CLINT, whose compare interrupt also ends a sleep. */
#include "board.h"
#include "core.h"
#include "kit_port.h"
#include "rx_ring.h"
#include "tick_clock.h"
#include "tx_ring.h"

#define UART(offset) KIT_REG8(KIT_BOARD_UART_BASE + (offset))
#define UART_DATA UART(0u)         /* receive on reading, transmit on writing; divisor low while LCR bit 7 is set */
#define UART_IER UART(1u)          /* bits 0 receive, 1 transmit interrupt; divisor high while LCR bit 7 is set */
#define UART_FIFO_CONTROL UART(2u) /* bit 0 on, 1 and 2 clear, 6 and 7 receive level */
#define UART_LINE_CONTROL UART(3u)
#define UART_LINE_STATUS UART(5u) /* reading clears the overrun bit */

#define LINE_8N1 3u
#define LINE_DIVISOR 0x80u
#define FIFO_ON_CLEARED 7u
#define IER_RECEIVE 1u
#define IER_TRANSMIT 2u /* the transmitter is empty: on only while there is something to send */
#define STATUS_RX_READY 1u
#define STATUS_RX_OVERRUN 2u
#define STATUS_TX_EMPTY 0x20u
#define TX_FIFO_BYTES 16u

#define TICKS_PER_US (KIT_BOARD_CLINT_HZ / 1000000u)
#define IDLE_US_MAX 1000u

static kit_rx_ring_t ring;
static kit_tx_ring_t tx_ring;
static volatile uint8_t interrupts; /* IER; the main loop changes it with interrupts off */
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

static void enable(uint8_t which)
{
    interrupts = which;
    UART_IER = which;
}

static void receive_all(void)
{
    while ((uart_status() & STATUS_RX_READY) != 0) {
        if (kit_rx_ring_full(&ring)) {
            /* The UART's own FIFO keeps some more bytes; the main loop takes up again when it has made room. */
            enable(interrupts & (uint8_t)~IER_RECEIVE);
            return;
        }
        kit_rx_ring_put(&ring, UART_DATA);
    }
}

/* Fill the transmit FIFO when it is empty. */
static void send_some(void)
{
    if ((interrupts & IER_TRANSMIT) == 0 || (uart_status() & STATUS_TX_EMPTY) == 0) {
        return;
    }
    for (unsigned sent = 0; sent < TX_FIFO_BYTES && !kit_tx_ring_empty(&tx_ring); sent++) {
        UART_DATA = kit_tx_ring_take(&tx_ring);
    }
    if (kit_tx_ring_empty(&tx_ring)) {
        enable(interrupts & (uint8_t)~IER_TRANSMIT);
    }
}

void kit_uart_irq(void)
{
    if ((interrupts & IER_RECEIVE) != 0) {
        receive_all();
    }
    send_some();
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
    const uint32_t divisor = KIT_BOARD_UART_HZ / (16u * KIT_BOARD_BAUD);
    timer_off();
    UART_IER = 0;
    UART_LINE_CONTROL = LINE_8N1 | LINE_DIVISOR;
    UART_DATA = (uint8_t)divisor;
    UART_IER = (uint8_t)(divisor >> 8);
    UART_LINE_CONTROL = LINE_8N1;
    UART_FIFO_CONTROL = FIFO_ON_CLEARED;
    enable(IER_RECEIVE);
    /* QEMU delivers the first byte up to a second late unless the data register is read once after enabling. */
    (void)UART_DATA;
    __asm volatile("csrs mie, %0" ::"r"(KIT_MIE_TIMER) : "memory");
    kit_irq_enable(KIT_BOARD_UART_IRQ);
}

size_t kit_port_read(uint8_t *data, size_t bytes)
{
    const size_t count = kit_rx_ring_take(&ring, data, bytes);
    if ((interrupts & IER_RECEIVE) == 0 && !kit_rx_ring_full(&ring)) {
        /* The interrupt stopped at a full ring. */
        kit_interrupts_off();
        enable(interrupts | IER_RECEIVE);
        receive_all();
        kit_interrupts_on();
    }
    return count;
}

size_t kit_port_write(const uint8_t *data, size_t bytes)
{
    const size_t count = kit_tx_ring_put(&tx_ring, data, bytes);
    if (count != 0) {
        kit_interrupts_off();
        enable(interrupts | IER_TRANSMIT); /* an empty transmitter interrupts at once */
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

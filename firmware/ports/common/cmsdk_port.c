/* Port of the boards with an Arm CMSDK UART (MPS2 and MPS3 images): receive and transmit by interrupt, microseconds
 * from a free-running timer. board.h gives addresses, clocks and interrupt numbers, and names one of two
 * timers: a CMSDK timer (KIT_BOARD_TIMER_*) or the system counter of an Arm SSE-300 (KIT_BOARD_COUNTER_*). */
#include "board.h"
#include "core.h"
#include "kit_port.h"
#include "rx_ring.h"
#include "tick_clock.h"
#include "tx_ring.h"

#define UART_DATA KIT_REG32(KIT_BOARD_UART_BASE + 0x00u)
#define UART_STATE KIT_REG32(KIT_BOARD_UART_BASE + 0x04u) /* bit 0 TX full, 1 RX full, 3 RX overrun (write 1 clears) */
#define UART_CTRL KIT_REG32(KIT_BOARD_UART_BASE + 0x08u)  /* bit 0 TX on, 1 RX on, 2 TX interrupt, 3 RX interrupt */
#define UART_INTCLEAR KIT_REG32(KIT_BOARD_UART_BASE + 0x0Cu) /* bit 0 TX, 1 RX */
#define UART_BAUDDIV KIT_REG32(KIT_BOARD_UART_BASE + 0x10u)

#define STATE_TX_FULL 1u
#define STATE_RX_FULL 2u
#define STATE_RX_OVERRUN 8u
#define CTRL_TX_RX_ON 3u
#define CTRL_TX_IRQ 4u
#define CTRL_RX_IRQ 8u
#define INT_TX 1u
#define INT_RX 2u

#if defined(KIT_BOARD_COUNTER_STATUS)

#define COUNTER_CTRL KIT_REG32(KIT_BOARD_COUNTER_CONTROL + 0x00u) /* bit 0 on */
#define COUNTER_VALUE KIT_REG32(KIT_BOARD_COUNTER_STATUS + 0x00u) /* low word, counts up */
#define TICKS_PER_US (KIT_BOARD_COUNTER_HZ / 1000000u)

static void start_ticks(void)
{
    COUNTER_CTRL = 1u;
}

static uint32_t ticks_now(void)
{
    return COUNTER_VALUE;
}

#else

#define TIMER_CTRL KIT_REG32(KIT_BOARD_TIMER_BASE + 0x00u)  /* bit 0 on */
#define TIMER_VALUE KIT_REG32(KIT_BOARD_TIMER_BASE + 0x04u) /* counts down */
#define TIMER_RELOAD KIT_REG32(KIT_BOARD_TIMER_BASE + 0x08u)
#define TICKS_PER_US (KIT_BOARD_TIMER_HZ / 1000000u)

static void start_ticks(void)
{
    TIMER_RELOAD = UINT32_MAX;
    TIMER_VALUE = UINT32_MAX;
    TIMER_CTRL = 1u;
}

static uint32_t ticks_now(void)
{
    return UINT32_MAX - TIMER_VALUE;
}

#endif

static kit_rx_ring_t ring;
static kit_tx_ring_t tx_ring;
static volatile uint32_t overruns;

void kit_systick(void);
void kit_uart_irq(void);
void kit_uart_tx_irq(void);

/* Does nothing but end a sleep. Time is not counted here: an emulator on a busy machine skips ticks. */
void kit_systick(void)
{
}

void kit_uart_irq(void)
{
    UART_INTCLEAR = INT_RX;
    while ((UART_STATE & STATE_RX_FULL) != 0) {
        if (kit_rx_ring_full(&ring)) {
            /* Leave the byte in the UART and the interrupt off until the main loop has made room: a byte is only lost
             * when the next one arrives meanwhile, and then the overrun bit tells. */
            UART_CTRL = CTRL_TX_RX_ON | CTRL_TX_IRQ;
            return;
        }
        kit_rx_ring_put(&ring, (uint8_t)UART_DATA);
    }
    if ((UART_STATE & STATE_RX_OVERRUN) != 0) {
        UART_STATE = STATE_RX_OVERRUN;
        overruns++;
    }
}

/* The UART has sent a byte, or the main loop has some for an idle line. */
void kit_uart_tx_irq(void)
{
    UART_INTCLEAR = INT_TX;
    while (!kit_tx_ring_empty(&tx_ring) && (UART_STATE & STATE_TX_FULL) == 0) {
        UART_DATA = kit_tx_ring_take(&tx_ring);
    }
}

void kit_port_init(void)
{
    start_ticks();
    KIT_SYST_RVR = KIT_BOARD_SYSTICK_HZ / 1000u - 1u;
    KIT_SYST_CVR = 0;
    KIT_SYST_CSR = 7u;
    UART_BAUDDIV = KIT_BOARD_UART_HZ / KIT_BOARD_BAUD;
    UART_CTRL = CTRL_TX_RX_ON | CTRL_TX_IRQ | CTRL_RX_IRQ;
    /* QEMU delivers the first byte up to a second late unless the data register is read once after enabling. */
    (void)UART_DATA;
    kit_irq_enable(KIT_BOARD_UART_IRQ);
    kit_irq_enable(KIT_BOARD_UART_TX_IRQ);
}

size_t kit_port_read(uint8_t *data, size_t bytes)
{
    const size_t count = kit_rx_ring_take(&ring, data, bytes);
    if ((UART_CTRL & CTRL_RX_IRQ) == 0 && !kit_rx_ring_full(&ring)) {
        /* The interrupt stopped at a full ring: take up again with the byte that waits in the UART. */
        kit_interrupts_off();
        UART_CTRL = CTRL_TX_RX_ON | CTRL_TX_IRQ | CTRL_RX_IRQ;
        kit_uart_irq();
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
        kit_uart_tx_irq();
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
    return kit_tick_clock_us(&clock, ticks_now(), TICKS_PER_US);
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
        kit_wait_for_interrupt();
    }
    kit_interrupts_on();
}

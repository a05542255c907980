/* Port of the simulated microcontroller: the rings of the real boards between the main loop and the registers of
 * uart_model.h. */
#include <stdbool.h>

#include "board.h"
#include "kit_port.h"
#include "rx_ring.h"
#include "tx_ring.h"
#include "uart_model.h"

static kit_rx_ring_t ring;
static kit_tx_ring_t tx_ring;
static bool slept; /* since the last turn began */

/* Like the real ports': a full ring leaves the byte in the register until the main loop has made room. */
void uart_port_rx_interrupt(void)
{
    while (uart_model_rx_full() && !kit_rx_ring_full(&ring)) {
        kit_rx_ring_put(&ring, uart_model_rx_take());
    }
}

void uart_port_tx_interrupt(void)
{
    if (uart_model_tx_free() && !kit_tx_ring_empty(&tx_ring)) {
        uart_model_tx_put(kit_tx_ring_take(&tx_ring));
    }
}

void kit_port_init(void)
{
    uart_model_begin();
}

size_t kit_port_read(uint8_t *data, size_t bytes)
{
    if (!uart_model_rx_interrupts()) {
        /* A port that polls has what the register holds, and nothing else. */
        if (bytes == 0 || !uart_model_rx_full()) {
            return 0;
        }
        data[0] = uart_model_rx_take();
        return 1;
    }
    const size_t count = kit_rx_ring_take(&ring, data, bytes);
    uart_port_rx_interrupt();
    return count;
}

size_t kit_port_write(const uint8_t *data, size_t bytes)
{
    const size_t count = kit_tx_ring_put(&tx_ring, data, bytes);
    uart_port_tx_interrupt();
    return count;
}

uint32_t kit_port_rx_overruns(void)
{
    return uart_model_rx_lost();
}

kit_port_rx_queue_t kit_port_rx_queue(void)
{
    return kit_rx_ring_queue(&ring);
}

uint32_t kit_port_time_us(void)
{
    return (uint32_t)(uart_model_now_ns() / 1000u);
}

/* Called once per turn of the main loop: here a turn that did something takes its time. */
void kit_port_watchdog(void)
{
    if (!slept) {
        uart_model_turn();
    }
    slept = false;
}

const char *kit_port_name(void)
{
    return KIT_BOARD_NAME;
}

void kit_port_idle(void)
{
    if (kit_rx_ring_empty(&ring) && !uart_model_rx_full()) {
        uart_model_sleep();
        slept = true;
    }
}

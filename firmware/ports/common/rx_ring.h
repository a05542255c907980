/* Ring between a receive interrupt and kit_port_read. One writer (the interrupt), one reader (the main loop); a size that
 * is a power of two lets both count on without locks, on any core that loads 16 bits at once.
 *
 * The main loop empties it once per turn, so that it must hold what arrives during the longest engine step, while the
 * interrupt keeps the UART's one-byte register free: KIT_BOARD_RX_RING_BYTES of board.h, which app_main.c checks against
 * the model. */
#ifndef KIT_RX_RING_H
#define KIT_RX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "kit_port.h"

#define KIT_RX_RING_BYTES KIT_BOARD_RX_RING_BYTES

typedef struct {
    volatile uint16_t written; /* bytes ever written, modulo 65536 */
    volatile uint16_t read;    /* bytes ever read, modulo 65536 */
    volatile uint16_t most;    /* most bytes that ever waited */
    uint8_t bytes[KIT_RX_RING_BYTES];
} kit_rx_ring_t;

typedef char kit_rx_ring_is_a_power_of_two
    [KIT_RX_RING_BYTES <= 32768u && (KIT_RX_RING_BYTES & (KIT_RX_RING_BYTES - 1u)) == 0 ? 1 : -1];

static inline uint16_t kit_rx_ring_waiting(const kit_rx_ring_t *ring)
{
    return (uint16_t)(ring->written - ring->read);
}

static inline bool kit_rx_ring_empty(const kit_rx_ring_t *ring)
{
    return kit_rx_ring_waiting(ring) == 0;
}

static inline bool kit_rx_ring_full(const kit_rx_ring_t *ring)
{
    return kit_rx_ring_waiting(ring) == KIT_RX_RING_BYTES;
}

/* Interrupt side; only while the ring is not full. */
static inline void kit_rx_ring_put(kit_rx_ring_t *ring, uint8_t byte)
{
    const uint16_t at = ring->written;
    ring->bytes[at % KIT_RX_RING_BYTES] = byte;
    ring->written = (uint16_t)(at + 1u);
    if (kit_rx_ring_waiting(ring) > ring->most) {
        ring->most = kit_rx_ring_waiting(ring);
    }
}

/* Main-loop side: move up to `bytes` bytes out; returns how many. */
static inline size_t kit_rx_ring_take(kit_rx_ring_t *ring, uint8_t *data, size_t bytes)
{
    size_t count = 0;
    while (count < bytes && !kit_rx_ring_empty(ring)) {
        const uint16_t at = ring->read;
        data[count++] = ring->bytes[at % KIT_RX_RING_BYTES];
        ring->read = (uint16_t)(at + 1u);
    }
    return count;
}

/* For kit_port_rx_queue. */
static inline kit_port_rx_queue_t kit_rx_ring_queue(const kit_rx_ring_t *ring)
{
    const kit_port_rx_queue_t queue = {ring->most, KIT_RX_RING_BYTES};
    return queue;
}

#endif /* KIT_RX_RING_H */

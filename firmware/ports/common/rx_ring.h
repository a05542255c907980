/* Ring between a receive interrupt and kit_port_read. One writer (the interrupt), one reader (the main loop); a size
 * that divides 256 lets both run free without locks. */
#ifndef KIT_RX_RING_H
#define KIT_RX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h"

#define KIT_RX_RING_BYTES KIT_BOARD_RX_RING_BYTES

typedef struct {
    volatile uint8_t written; /* bytes ever written, modulo 256 */
    volatile uint8_t read;    /* bytes ever read, modulo 256 */
    uint8_t bytes[KIT_RX_RING_BYTES];
} kit_rx_ring_t;

typedef char kit_rx_ring_divides_256[KIT_RX_RING_BYTES <= 128 && 256 % KIT_RX_RING_BYTES == 0 ? 1 : -1];

static inline bool kit_rx_ring_empty(const kit_rx_ring_t *ring)
{
    return ring->written == ring->read;
}

static inline bool kit_rx_ring_full(const kit_rx_ring_t *ring)
{
    return (uint8_t)(ring->written - ring->read) == KIT_RX_RING_BYTES;
}

/* Interrupt side; only while the ring is not full. */
static inline void kit_rx_ring_put(kit_rx_ring_t *ring, uint8_t byte)
{
    const uint8_t at = ring->written;
    ring->bytes[at % KIT_RX_RING_BYTES] = byte;
    ring->written = (uint8_t)(at + 1u);
}

/* Main-loop side: move up to `bytes` bytes out; returns how many. */
static inline size_t kit_rx_ring_take(kit_rx_ring_t *ring, uint8_t *data, size_t bytes)
{
    size_t count = 0;
    while (count < bytes && !kit_rx_ring_empty(ring)) {
        const uint8_t at = ring->read;
        data[count++] = ring->bytes[at % KIT_RX_RING_BYTES];
        ring->read = (uint8_t)(at + 1u);
    }
    return count;
}

#endif /* KIT_RX_RING_H */

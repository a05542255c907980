/* Ring between kit_port_write and a transmit interrupt: the line is kept busy while the main loop encodes. One writer (the
 * main loop), one reader (the interrupt, or the main loop with that interrupt held off). */
#ifndef KIT_TX_RING_H
#define KIT_TX_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 128 bytes are 11 ms of line at 115200 baud: more than a step of most encoders. Whole messages queue in the link. */
#define KIT_TX_RING_BYTES 128u

typedef struct {
    volatile uint8_t written; /* bytes ever written, modulo 256 */
    volatile uint8_t read;    /* bytes ever read, modulo 256 */
    uint8_t bytes[KIT_TX_RING_BYTES];
} kit_tx_ring_t;

static inline bool kit_tx_ring_empty(const kit_tx_ring_t *ring)
{
    return ring->written == ring->read;
}

/* Main-loop side: take in up to `bytes` bytes; returns how many. */
static inline size_t kit_tx_ring_put(kit_tx_ring_t *ring, const uint8_t *data, size_t bytes)
{
    size_t count = 0;
    while (count < bytes && (uint8_t)(ring->written - ring->read) != KIT_TX_RING_BYTES) {
        const uint8_t at = ring->written;
        ring->bytes[at % KIT_TX_RING_BYTES] = data[count++];
        ring->written = (uint8_t)(at + 1u);
    }
    return count;
}

/* Interrupt side; only while the ring is not empty. */
static inline uint8_t kit_tx_ring_take(kit_tx_ring_t *ring)
{
    const uint8_t at = ring->read;
    const uint8_t byte = ring->bytes[at % KIT_TX_RING_BYTES];
    ring->read = (uint8_t)(at + 1u);
    return byte;
}

#endif /* KIT_TX_RING_H */

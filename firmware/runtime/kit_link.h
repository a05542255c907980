/* The serial link without its line: bytes in, checked messages out, and the other way.
 *
 * A message is a type byte, fields and a check value, framed by COBS and a zero (firmware/PROTOCOL.md). The receiver
 * never waits and never trusts a length: what is damaged, truncated or too long is counted and passed over, and the
 * next delimiter starts afresh. The caller owns both buffers and moves the bytes. */
#ifndef KIT_LINK_H
#define KIT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit_cobs.h"
#include "kit_protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a transmit queue for one message of up to `total` bytes, check value included; n times that hold n of them.
 * Encoding happens in place, behind room for the overhead and before the delimiter. */
#define KIT_LINK_TX_BYTES(total) ((total) + KIT_COBS_OVERHEAD(total) + 1u)

typedef struct {
    uint32_t rx_frames;     /* messages received whole, check value right */
    uint32_t rx_bad_crc;    /* messages whose check value was wrong */
    uint32_t rx_bad_length; /* truncated messages, and ones too short to hold a type and a check value */
    uint32_t rx_overrun;    /* messages longer than the receive buffer */
    size_t tx_queue_max;    /* most bytes that ever waited for the line */
} kit_link_counters_t;

typedef struct {
    kit_cobs_decoder_t decoder;
    kit_link_counters_t counters;
    uint8_t *rx;
    size_t rx_capacity;
    uint8_t *tx;        /* the transmit queue: encoded messages one behind the other */
    size_t tx_capacity;
    size_t tx_total;    /* longest message it takes, check value included */
    size_t tx_from;     /* first byte that waits for the line */
    size_t tx_to;       /* behind the last one */
} kit_link_t;

/* `rx` holds the longest message the host may send, check value included; `tx` is the transmit queue for messages of up
 * to `tx_total` bytes, at least KIT_LINK_TX_BYTES(tx_total). Both stay the link's. */
void kit_link_init(kit_link_t *link, uint8_t *rx, size_t rx_bytes, uint8_t *tx, size_t tx_bytes, size_t tx_total);

/* Take one byte from the line. Returns the length of a message (type byte and fields; at least 1) when this byte
 * completed a valid one, which then lies at the start of `rx` until the next call; else 0. */
size_t kit_link_receive(kit_link_t *link, uint8_t byte);

/* True when no bytes are waiting for the line. */
bool kit_link_tx_idle(const kit_link_t *link);

/* True when the queue takes one more message of any length up to tx_total, that is when one may be built and sent. */
bool kit_link_tx_room(const kit_link_t *link);

/* Where to build a message, its type byte first; only while there is room. Moves what waits to the front of the queue,
 * so that a pointer from kit_link_pending is no longer good. */
uint8_t *kit_link_message(kit_link_t *link);

/* Add the check value to the `bytes` bytes at kit_link_message(), frame them and queue them for the line.
 * Returns false, and sends nothing, when the queue has no room or the message is longer than tx_total. */
bool kit_link_send(kit_link_t *link, size_t bytes);

/* Bytes waiting for the line, and where they are; then tell how many of them the line took. */
const uint8_t *kit_link_pending(const kit_link_t *link, size_t *bytes);
void kit_link_taken(kit_link_t *link, size_t bytes);

/* Little-endian fields. */
void kit_put_u16(uint8_t *at, uint16_t value);
void kit_put_u32(uint8_t *at, uint32_t value);
uint16_t kit_get_u16(const uint8_t *at);
uint32_t kit_get_u32(const uint8_t *at);

#ifdef __cplusplus
}
#endif

#endif /* KIT_LINK_H */

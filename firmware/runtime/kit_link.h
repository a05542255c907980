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

/* Bytes of a transmit buffer for messages of up to `total` bytes, check value included: encoding happens in place,
 * behind room for the overhead and before the delimiter. */
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
    uint8_t *tx;
    size_t tx_capacity;
    size_t tx_offset;  /* where a message is built in tx, before it is encoded towards the front */
    size_t tx_length;  /* encoded bytes */
    size_t tx_sent;    /* of them, bytes already taken by the line */
} kit_link_t;

/* `rx` holds the longest message the host may send, check value included; `tx` holds KIT_LINK_TX_BYTES of the longest
 * answer. Both stay the link's. */
void kit_link_init(kit_link_t *link, uint8_t *rx, size_t rx_bytes, uint8_t *tx, size_t tx_bytes);

/* Take one byte from the line. Returns the length of a message (type byte and fields; at least 1) when this byte
 * completed a valid one, which then lies at the start of `rx` until the next call; else 0. */
size_t kit_link_receive(kit_link_t *link, uint8_t byte);

/* True when no bytes are waiting for the line, that is when a message may be built and sent. */
bool kit_link_tx_idle(const kit_link_t *link);

/* Where to build a message: its type byte first. Holds the longest message that tx was sized for. */
uint8_t *kit_link_message(kit_link_t *link);

/* Add the check value to the `bytes` bytes at kit_link_message(), frame them and queue them for the line.
 * Returns false, and sends nothing, when the line is busy or the message does not fit. */
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

/* Consistent overhead byte stuffing: bytes without zeros, so that a zero on the line always ends a message.
 * After S. Cheshire and M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999.
 *
 * The decoder takes one byte at a time and writes into a bounded buffer, so that a receiver never holds a message twice. */
#ifndef KIT_COBS_H
#define KIT_COBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes that encoding n bytes may add, without the delimiter. */
#define KIT_COBS_OVERHEAD(n) ((n) / 254u + 1u)

/* Encode `bytes` bytes of `source` into `target` and return the encoded length, at most
 * bytes + KIT_COBS_OVERHEAD(bytes). No delimiter is written. `target` may be the same buffer when `source` begins at
 * least KIT_COBS_OVERHEAD(bytes) behind it: writing never overtakes reading. */
size_t kit_cobs_encode(uint8_t *target, const uint8_t *source, size_t bytes);

typedef enum {
    KIT_COBS_MORE,      /* the message goes on */
    KIT_COBS_MESSAGE,   /* delimiter: a whole message of `length` bytes (0 between two delimiters) */
    KIT_COBS_TRUNCATED, /* delimiter inside a block: bytes were lost */
    KIT_COBS_OVERSIZE   /* delimiter of a message that did not fit into the buffer */
} kit_cobs_event_t;

typedef struct {
    uint8_t *buffer;
    size_t capacity;
    size_t length;  /* decoded bytes so far; stays within capacity */
    uint8_t code;   /* code byte of the current block; 0xFF or 0: no zero follows it */
    uint8_t left;   /* data bytes of the block still to come */
    bool oversize;  /* the message outgrew the buffer; the rest of it is passed over */
} kit_cobs_decoder_t;

/* Start with an empty message. `buffer` holds `capacity` bytes and stays the decoder's until the delimiter. */
void kit_cobs_begin(kit_cobs_decoder_t *decoder, uint8_t *buffer, size_t capacity);

/* Take one byte from the line. After every event but KIT_COBS_MORE the next byte begins a new message, and `length`
 * and `buffer` hold the finished one until then: call kit_cobs_begin or go on feeding. */
kit_cobs_event_t kit_cobs_decode(kit_cobs_decoder_t *decoder, uint8_t byte);

#ifdef __cplusplus
}
#endif

#endif /* KIT_COBS_H */

/* Packet body writer: bytes and bit fields, least significant bit first (NUMERICS.md section 5). */
#ifndef KIT_PACK_H
#define KIT_PACK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint8_t *bytes;     /* the packet */
    uint32_t pending;   /* bits not yet written, the oldest lowest */
    uint16_t capacity;  /* bytes of the packet */
    uint16_t length;    /* bytes written, 0..capacity */
    uint8_t bits;       /* number of pending bits, 0..7 between calls */
} kit_packer_t;

/* Start an empty packet in `bytes`, which holds `capacity` of them. */
void kit_pack_begin(kit_packer_t *packer, uint8_t *bytes, uint16_t capacity);

/* Append the lowest `bits` bits of `value`, 1..24. What exceeds the capacity is not written. */
void kit_pack_put(kit_packer_t *packer, uint32_t value, unsigned bits);

/* Pad the last byte with zeros and return the length in bytes. */
uint16_t kit_pack_end(kit_packer_t *packer);

#ifdef __cplusplus
}
#endif

#endif /* KIT_PACK_H */

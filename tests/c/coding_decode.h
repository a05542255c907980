/* A decoder of range codes for tests, from NUMERICS.md section 7 and the tables of the device. Servers decode in Python. */
#ifndef CODING_DECODE_H
#define CODING_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit_coding.h"

/* Decode `count` indices, position by position, of a code of `bytes` bytes. Returns false where the bytes are no code;
 * the indices are then some below 2^index_bits. A code that a coder would not write may be taken for one: encode the
 * indices again to find out. */
bool coding_decode(const uint8_t *code, size_t bytes, const kit_coding_level_t *levels, unsigned num_levels,
                   unsigned index_bits, uint16_t *indices, size_t count);

#endif /* CODING_DECODE_H */

#include "kit_pack.h"

void kit_pack_begin(kit_packer_t *packer, uint8_t *bytes, uint16_t capacity)
{
    packer->bytes = bytes;
    packer->pending = 0;
    packer->capacity = capacity;
    packer->length = 0;
    packer->bits = 0;
}

static void write_byte(kit_packer_t *packer)
{
    if (packer->length < packer->capacity) {
        packer->bytes[packer->length++] = (uint8_t)(packer->pending & 0xFFu);
    }
    packer->pending >>= 8;
}

void kit_pack_put(kit_packer_t *packer, uint32_t value, unsigned bits)
{
    const uint32_t mask = ((uint32_t)1 << bits) - 1u;
    packer->pending |= (value & mask) << packer->bits; /* 7 pending and 24 new bits fit */
    packer->bits = (uint8_t)(packer->bits + bits);
    while (packer->bits >= 8u) {
        write_byte(packer);
        packer->bits = (uint8_t)(packer->bits - 8u);
    }
}

uint16_t kit_pack_end(kit_packer_t *packer)
{
    if (packer->bits != 0) {
        write_byte(packer);
        packer->bits = 0;
    }
    return packer->length;
}

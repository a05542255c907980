#include "kit_coding.h"

#include <stddef.h>
#include <string.h>

#include "kit_coding_network.h"

#define RANGE_MIN ((uint32_t)1 << 24)

/* Weight of each code: 0, then steps of 4/3 and 3/2 in turn. */
static const uint16_t WEIGHTS[16] = {0, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384};

void kit_coder_begin(kit_coder_t *coder, const kit_coding_level_t *levels, uint8_t *bytes, uint16_t capacity)
{
    coder->bytes = bytes;
    coder->low = 0;
    coder->range = UINT32_MAX;
    coder->capacity = capacity;
    coder->length = 0;
    coder->near = 0;
    coder->above = 0;
    coder->far_class = 0;
    coder->started = 0;
#if KIT_CODING_NETWORK
    coder->before = levels[0].groups;
    memset(coder->units, 0, sizeof coder->units);
#else
    (void)levels;
#endif
}

/* Append the top byte of low. */
static void emit(kit_coder_t *coder)
{
    if (coder->length + 1u >= coder->capacity) {
        coder->length = coder->capacity;
        return;
    }
    coder->bytes[coder->length++] = (uint8_t)(coder->low >> 24);
    coder->low <<= 8;
}

/* Move low up. The interval never reaches 1, so that a carry ends within the bytes written. */
static void raise_low(kit_coder_t *coder, uint32_t by)
{
    coder->low += by;
    if (coder->low < by) {
        uint16_t at = coder->length;
        do {
            at--;
            coder->bytes[at]++;
        } while (coder->bytes[at] == 0);
    }
}

/* Narrow the interval to the part of 2^14 from `begin` on, `size` wide. */
static void narrow(kit_coder_t *coder, uint32_t begin, uint32_t size)
{
    const uint32_t step = coder->range >> KIT_CODING_TOTAL_BITS;
    raise_low(coder, step * begin);
    coder->range = step * size;
    while (coder->range < RANGE_MIN && coder->length < coder->capacity) {
        emit(coder);
        coder->range <<= 8;
    }
}

static unsigned code_at(const uint8_t *codes, unsigned at)
{
    return ((unsigned)codes[at / 2u] >> (4u * (at & 1u))) & 15u;
}

/* Code the `number`-th of the weights that stand from `first` on. */
static void put_weighted(kit_coder_t *coder, const uint8_t *codes, unsigned first, unsigned number, uint32_t scale)
{
    uint32_t below = 0;
    for (unsigned at = first; at < first + number; at++) {
        below += WEIGHTS[code_at(codes, at)];
    }
    const uint32_t up_to = below + WEIGHTS[code_at(codes, first + number)];
    const uint32_t begin = number + ((below * scale) >> KIT_CODING_SCALE_BITS);
    const uint32_t end = number + 1u + ((up_to * scale) >> KIT_CODING_SCALE_BITS);
    narrow(coder, begin, end - begin);
}

static unsigned place_of(const kit_coding_level_t *level, unsigned index)
{
    if (level->slot == NULL) {
        return index;
    }
    const unsigned high = level->slot_high != NULL ? level->slot_high[index / 4u] : 0u;
    return level->slot[index] | ((high >> (2u * (index & 3u))) & 3u) << 8;
}

/* Group of a place: the last that begins at or before it. */
static unsigned group_of(const kit_coding_level_t *level, unsigned place)
{
    unsigned low = 0;
    for (unsigned high = level->groups; high - low > 1u;) {
        const unsigned middle = (low + high) / 2u;
        if (level->first[middle] <= place) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static unsigned context_row(const kit_coder_t *coder, const kit_coding_level_t *level, uint8_t number)
{
    if (number != 0) {
        return level->context[coder->above >> level->shift] & 63u;
    }
    if (coder->started == 0) {
        return level->start;
    }
    return (level->context[coder->near >> level->shift] & 63u) * level->far_classes + coder->far_class;
}

/* The index at `place`, in `group` of level `number`, was coded; later ones depend on it. */
static void remember(kit_coder_t *coder, const kit_coding_level_t *level, uint8_t number, unsigned place, unsigned group)
{
    coder->above = (uint16_t)place;
    if (number != 0 || level->groups == 0) {
        return;
    }
#if KIT_CODING_NETWORK
    if (level->network != NULL) {
        coder->before = (uint8_t)group;
        return;
    }
#endif
    (void)group;
    if (coder->started != 0) {
        coder->far_class = (uint8_t)(level->context[coder->near >> level->shift] >> 6);
    }
    coder->near = (uint16_t)place;
    coder->started = 1;
}

static void put_group(kit_coder_t *coder, const kit_coding_level_t *level, uint8_t number, unsigned group)
{
#if KIT_CODING_NETWORK
    if (level->network != NULL) {
        uint32_t begin;
        uint32_t end;
        kit_coding_step(level->network, coder->before, coder->units);
        kit_coding_predict(level->network, coder->units, level->groups, group, &begin, &end);
        narrow(coder, begin, end - begin);
        return;
    }
#endif
    const unsigned row = context_row(coder, level, number);
    const unsigned stride = (level->groups + 1u) / 2u;
    put_weighted(coder, level->rows + row * stride, 0, group, level->row_scale[row]);
}

void kit_coder_put(kit_coder_t *coder, const kit_coding_level_t *levels, uint8_t number, uint16_t index,
                   unsigned index_bits)
{
    const kit_coding_level_t *level = &levels[number];
    unsigned group = 0;
    if (coder->length == coder->capacity) {
        return; /* given up */
    }
    const unsigned place = place_of(level, index);
    if (level->groups == 0) {
        const unsigned spare = KIT_CODING_TOTAL_BITS - index_bits;
        narrow(coder, (uint32_t)index << spare, (uint32_t)1 << spare);
    } else {
        group = group_of(level, place);
        put_group(coder, level, number, group);
        const unsigned first = level->first[group];
        if (level->first[group + 1u] - first > 1u && coder->length < coder->capacity) {
            put_weighted(coder, level->members, first, place - first, level->member_scale[group]);
        }
    }
    remember(coder, level, number, place, group);
}

uint16_t kit_coder_end(kit_coder_t *coder)
{
    if (coder->length < coder->capacity) {
        const uint32_t whole = 0u - coder->low; /* to the end of what the bytes written span */
        if (whole < coder->range) {
            raise_low(coder, whole);
        } else {
            raise_low(coder, whole & (RANGE_MIN - 1u));
            emit(coder);
        }
    }
    if (coder->length < coder->capacity) {
        while (coder->length != 0 && coder->bytes[coder->length - 1u] == 0) {
            coder->length--;
        }
    }
    return coder->length;
}

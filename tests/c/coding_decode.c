#include "coding_decode.h"

#include <string.h>

#define TOTAL (1u << KIT_CODING_TOTAL_BITS)

typedef struct {
    const uint8_t *code;
    size_t bytes;
    size_t at;
    uint32_t offset; /* of the code from the low end of the interval */
    uint32_t range;
    bool good;
} reader_t;

static uint32_t next_byte(reader_t *reader)
{
    const size_t at = reader->at++;
    return at < reader->bytes ? reader->code[at] : 0;
}

static uint32_t frequency_value(reader_t *reader)
{
    const uint32_t value = reader->offset / (reader->range >> KIT_CODING_TOTAL_BITS);
    reader->good = reader->good && value < TOTAL;
    return value < TOTAL ? value : TOTAL - 1u;
}

static void take(reader_t *reader, uint32_t begin, uint32_t end)
{
    const uint32_t step = reader->range >> KIT_CODING_TOTAL_BITS;
    reader->offset -= step * begin;
    reader->range = step * (end - begin);
    reader->good = reader->good && reader->offset < reader->range;
    while (reader->range < (1u << 24)) {
        reader->offset = reader->offset << 8 | next_byte(reader);
        reader->range <<= 8;
    }
}

static uint32_t weight(const uint8_t *codes, unsigned at)
{
    const unsigned code = ((unsigned)codes[at / 2u] >> (4u * (at % 2u))) & 15u;
    return code == 0 ? 0 : (2u + code % 2u) << (code / 2u);
}

/* Number of the symbol among `count` whose weights stand from `first` on. */
static unsigned read_weighted(reader_t *reader, const uint8_t *codes, unsigned first, unsigned count, uint32_t scale)
{
    const uint32_t value = frequency_value(reader);
    uint32_t sum = 0;
    uint32_t begin = 0;
    for (unsigned number = 0;; number++) {
        sum += weight(codes, first + number);
        const uint32_t end = number + 1u + ((sum * scale) >> KIT_CODING_SCALE_BITS);
        if (value < end || number + 1u == count) {
            take(reader, begin, end);
            return number;
        }
        begin = end;
    }
}

/* floor(value / 64) */
static int32_t by_64(int32_t value)
{
    return value >= 0 ? value / 64 : -((63 - value) / 64);
}

/* Section 7.4: what the units give at the next position, whose predecessor has the group `before`. */
static void step_units(const kit_coding_network_t *network, unsigned before, int32_t *units)
{
    const unsigned width = network->width;
    const unsigned inputs = width + network->units;
    int32_t next[KIT_CODING_UNITS_MAX];
    for (unsigned unit = 0; unit < network->units; unit++) {
        const int8_t *row = network->recurrent + unit * inputs;
        int32_t sum = network->unit_bias[unit];
        for (unsigned i = 0; i < width; i++) {
            sum += row[i] * network->embedding[before * width + i];
        }
        for (unsigned i = 0; i < network->units; i++) {
            sum += row[width + i] * units[i];
        }
        next[unit] = by_64(sum) < 0 ? 0 : by_64(sum) > 127 ? 127 : by_64(sum);
    }
    memcpy(units, next, sizeof next[0] * network->units);
}

/* Section 7.4: group of the next index, where the units give so much. */
static unsigned read_predicted(reader_t *reader, const kit_coding_network_t *network, unsigned groups, const int32_t *units)
{
    static const uint16_t MANTISSAS[16] = {4096, 3922, 3756, 3597, 3444, 3298, 3158, 3025,
                                           2896, 2774, 2656, 2543, 2435, 2332, 2233, 2139};
    int32_t logits[KIT_CODING_GROUPS_MAX];
    uint32_t weights[KIT_CODING_GROUPS_MAX];
    int32_t best = INT32_MIN;
    uint32_t total = 0;
    for (unsigned group = 0; group < groups; group++) {
        int32_t sum = network->output_bias[group];
        for (unsigned unit = 0; unit < network->units; unit++) {
            sum += network->output[group * network->units + unit] * units[unit];
        }
        logits[group] = by_64(sum);
        best = logits[group] > best ? logits[group] : best;
    }
    for (unsigned group = 0; group < groups; group++) {
        const int32_t below = best - logits[group] > 255 ? 255 : best - logits[group];
        weights[group] = (uint32_t)MANTISSAS[below % 16] >> (below / 16);
        total += weights[group];
    }
    const uint32_t scale = ((TOTAL - groups) << 16) / total;
    const uint32_t value = frequency_value(reader);
    uint32_t sum = 0;
    uint32_t begin = 0;
    for (unsigned group = 0;; group++) {
        sum += weights[group];
        const uint32_t end = group + 1u + ((sum * scale) >> 16);
        if (value < end || group + 1u == groups) {
            take(reader, begin, end);
            return group;
        }
        begin = end;
    }
}

/* Index of a place. */
static unsigned index_of(const kit_coding_level_t *level, unsigned place, unsigned index_bits)
{
    if (level->slot == NULL) {
        return place;
    }
    for (unsigned index = 0; index < 1u << index_bits; index++) {
        const unsigned high = level->slot_high == NULL ? 0 : ((unsigned)level->slot_high[index / 4u] >> (2u * (index % 4u))) & 3u;
        if ((level->slot[index] | high << 8) == place) {
            return index;
        }
    }
    return 0; /* places are a permutation */
}

/* Row of a level: `above` is the place of the level before, `places` are those of the first level one and two positions
 * before. */
static unsigned row_of(const kit_coding_level_t *level, const kit_coding_level_t *top, unsigned number, size_t position,
                       unsigned above, const unsigned *places)
{
    if (number != 0) {
        return level->context[above >> level->shift] & 63u;
    }
    if (position == 0) {
        return level->start;
    }
    const unsigned far = position > 1 ? top->context[places[2] >> top->shift] >> 6 : 0u;
    return (top->context[places[1] >> top->shift] & 63u) * top->far_classes + far;
}

bool coding_decode(const uint8_t *code, size_t bytes, const kit_coding_level_t *levels, unsigned num_levels,
                   unsigned index_bits, uint16_t *indices, size_t count)
{
    reader_t reader = {code, bytes, 0, 0, UINT32_MAX, true};
    const kit_coding_level_t *top = &levels[0];
    unsigned places[3] = {0, 0, 0}; /* of the first level: here, one and two positions before */
    unsigned before = top->groups; /* group of the first level's index one position before */
    int32_t units[KIT_CODING_UNITS_MAX] = {0};
    unsigned above = 0;
    for (unsigned i = 0; i < 4; i++) {
        reader.offset = reader.offset << 8 | next_byte(&reader);
    }
    for (size_t i = 0; i < count; i++) {
        const unsigned number = (unsigned)(i % num_levels);
        const size_t position = i / num_levels;
        const kit_coding_level_t *level = &levels[number];
        unsigned place;
        if (level->groups == 0) {
            const unsigned width = TOTAL >> index_bits;
            place = frequency_value(&reader) / width;
            take(&reader, place * width, (place + 1u) * width);
            indices[i] = (uint16_t)place;
        } else {
            unsigned group;
            if (level->network != NULL) {
                step_units(level->network, before, units);
                group = read_predicted(&reader, level->network, level->groups, units);
                before = group;
            } else {
                const unsigned row = row_of(level, top, number, position, above, places);
                const unsigned stride = (level->groups + 1u) / 2u;
                group = read_weighted(&reader, level->rows + row * stride, 0, level->groups, level->row_scale[row]);
            }
            const unsigned first = level->first[group];
            const unsigned members = level->first[group + 1u] - first;
            place = first;
            if (members > 1) {
                place += read_weighted(&reader, level->members, first, members, level->member_scale[group]);
            }
            indices[i] = (uint16_t)index_of(level, place, index_bits);
        }
        above = place;
        if (number == 0) {
            places[0] = place;
        }
        if (number + 1u == num_levels) {
            places[2] = places[1];
            places[1] = places[0];
        }
    }
    return reader.good;
}

/* Scores of the search with the DSP extension: two products per SMLAD. Included by kit_rvq.c alone.
 *
 * |r - e|^2 = |r|^2 + |e|^2 - 2 r.e. With e = row * 2^E, the score is row.row * 2^E - 2 r.row, and the distance
 * |r|^2 + 2^E * score. Section 4.3 of NUMERICS.md bounds these too. */
#ifndef KIT_RVQ_DSP_H
#define KIT_RVQ_DSP_H

#include "kit_isa.h"

#if defined(KIT_ISA_DSP)

#include <stdint.h>
#include <string.h>

/* Word at any address; these cores load it in one instruction. */
static inline uint32_t kit_rvq_word(const void *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline void kit_rvq_put_word(void *at, uint32_t word)
{
    memcpy(at, &word, sizeof word);
}

/* Bytes 0 and 2 as two int16. */
static inline uint32_t kit_rvq_even(uint32_t bytes)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(bytes));
    return pair;
}

/* Bytes 1 and 3 as two int16. */
static inline uint32_t kit_rvq_odd(uint32_t bytes)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(bytes));
    return pair;
}

/* sum + a.low * b.low + a.high * b.high. */
static inline int32_t kit_rvq_add_pair(int32_t sum, uint32_t a, uint32_t b)
{
    int32_t total;
    __asm__("smlad %0, %1, %2, %3" : "=r"(total) : "r"(a), "r"(b), "r"(sum));
    return total;
}

/* a - b in both halves. */
static inline uint32_t kit_rvq_subtract_pair(uint32_t a, uint32_t b)
{
    uint32_t pair;
    __asm__("ssub16 %0, %1, %2" : "=r"(pair) : "r"(a), "r"(b));
    return pair;
}

/* Four values of a row, or of the residual, in pairs of dimensions (0, 2) and (1, 3). */
typedef struct {
    uint32_t even;
    uint32_t odd;
} kit_rvq_four_t;

static inline kit_rvq_four_t kit_rvq_four(const int16_t *residual)
{
    const kit_rvq_four_t four = {kit_rvq_word(residual), kit_rvq_word(residual + 2)};
    return four;
}

static inline kit_rvq_four_t kit_rvq_four8(const int8_t *row)
{
    const uint32_t bytes = kit_rvq_word(row);
    const kit_rvq_four_t four = {kit_rvq_even(bytes), kit_rvq_odd(bytes)};
    return four;
}

static inline kit_rvq_four_t kit_rvq_four16(const int16_t *row)
{
    const uint32_t low = kit_rvq_word(row);
    const uint32_t high = kit_rvq_word(row + 2);
    const kit_rvq_four_t four = {(low & 0xFFFFu) | (high << 16), (low >> 16) | (high & 0xFFFF0000u)};
    return four;
}

static inline int32_t kit_rvq_add_dot(int32_t sum, kit_rvq_four_t a, kit_rvq_four_t b)
{
    return kit_rvq_add_pair(kit_rvq_add_pair(sum, a.even, b.even), a.odd, b.odd);
}

static inline void kit_rvq_put_four(int16_t *residual, kit_rvq_four_t four)
{
    kit_rvq_put_word(residual, four.even);
    kit_rvq_put_word(residual + 2, four.odd);
}

/* The residual is kept in the pairs that SXTB16 makes of a row: the middle two of each four change places. */
static inline void kit_rvq_arrange(int16_t *residual, unsigned stride)
{
    for (unsigned d = 0; d < stride; d += 4u) {
        kit_rvq_put_four(residual + d, kit_rvq_four16(residual + d));
    }
}

static inline unsigned kit_rvq_place(unsigned d)
{
    return (d & ~3u) | (d & 1u) << 1 | (d >> 1 & 1u);
}

static inline void kit_rvq_subtract8(int16_t *residual, const int8_t *row, unsigned stride, unsigned shift)
{
    const uint32_t kept = 0xFFFF0000u | (0xFFFFu >> shift); /* so that the low half does not run into the high one */
    for (unsigned d = 0; d < stride; d += 4u) {
        const kit_rvq_four_t entry = kit_rvq_four8(row + d);
        kit_rvq_four_t four = kit_rvq_four(residual + d);
        four.even = kit_rvq_subtract_pair(four.even, (entry.even & kept) << shift);
        four.odd = kit_rvq_subtract_pair(four.odd, (entry.odd & kept) << shift);
        kit_rvq_put_four(residual + d, four);
    }
}

static inline void kit_rvq_subtract16(int16_t *residual, const int16_t *row, unsigned stride)
{
    for (unsigned d = 0; d < stride; d += 4u) {
        const kit_rvq_four_t entry = kit_rvq_four16(row + d);
        kit_rvq_four_t four = kit_rvq_four(residual + d);
        four.even = kit_rvq_subtract_pair(four.even, entry.even);
        four.odd = kit_rvq_subtract_pair(four.odd, entry.odd);
        kit_rvq_put_four(residual + d, four);
    }
}

/* |r|^2 of the dimensions from `from` on. */
static inline int32_t kit_rvq_energy_from(const int16_t *residual, unsigned from, unsigned stride)
{
    int32_t sum = 0;
    for (unsigned d = from; d < stride; d += 4u) {
        sum = kit_rvq_add_dot(sum, kit_rvq_four(residual + d), kit_rvq_four(residual + d));
    }
    return sum;
}

static inline int32_t kit_rvq_energy(const int16_t *residual, unsigned stride)
{
    return kit_rvq_energy_from(residual, 0, stride);
}

/* A part of eight dimensions and more is at most |rest of r|^2 / 2^E above the score. */
static inline int32_t kit_rvq_slack(const int16_t *residual, unsigned stride, unsigned shift)
{
    return kit_rvq_energy_from(residual, 8, stride) >> shift;
}

static inline int32_t kit_rvq_distance(int32_t energy, int32_t score, unsigned shift)
{
    return energy + score * ((int32_t)1 << shift);
}

static inline int32_t kit_rvq_score_at(int32_t energy, int32_t distance, unsigned shift)
{
    return kit_asr32(distance - energy, shift);
}

static inline int32_t kit_rvq_score8(const int8_t *row, const int16_t *residual, unsigned stride, unsigned shift,
                                     int32_t limit)
{
    const int8_t *end = row + stride;
    int32_t score = 0;
    do {
        const kit_rvq_four_t low = kit_rvq_four8(row);
        const kit_rvq_four_t high = kit_rvq_four8(row + 4);
        int32_t cross = kit_rvq_add_dot(0, low, kit_rvq_four(residual));
        int32_t square = kit_rvq_add_dot(0, low, low);
        cross = kit_rvq_add_dot(cross, high, kit_rvq_four(residual + 4));
        square = kit_rvq_add_dot(square, high, high);
        score += (square << shift) - 2 * cross;
        row += 8;
        residual += 8;
    } while (row != end && score <= limit);
    return score;
}

static inline int32_t kit_rvq_score16(const int16_t *row, const int16_t *residual, unsigned stride, int32_t limit)
{
    int32_t square = 0;
    int32_t cross = 0;
    (void)limit;
    for (unsigned d = 0; d < stride; d += 4u) {
        const kit_rvq_four_t four = kit_rvq_four16(row + d);
        cross = kit_rvq_add_dot(cross, four, kit_rvq_four(residual + d));
        square = kit_rvq_add_dot(square, four, four);
    }
    return square - 2 * cross;
}

static inline int32_t kit_rvq_product8(const int8_t *row, const int16_t *residual, unsigned stride)
{
    int32_t sum = 0;
    for (unsigned d = 0; d < stride; d += 4u) {
        sum = kit_rvq_add_dot(sum, kit_rvq_four8(row + d), kit_rvq_four(residual + d));
    }
    return sum;
}

static inline int32_t kit_rvq_product16(const int16_t *row, const int16_t *residual, unsigned stride)
{
    int32_t sum = 0;
    for (unsigned d = 0; d < stride; d += 4u) {
        sum = kit_rvq_add_dot(sum, kit_rvq_four16(row + d), kit_rvq_four(residual + d));
    }
    return sum;
}

#endif

#endif /* KIT_RVQ_DSP_H */

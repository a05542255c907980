/* Scores of the search with Helium: eight products per instruction. Included by kit_rvq.c alone.
 *
 * |r - e|^2 = |r|^2 + |e|^2 - 2 r.e. With e = row * 2^E, the score is row.row * 2^E - 2 r.row, and the distance
 * |r|^2 + 2^E * score. Section 4.3 of NUMERICS.md bounds these too. */
#ifndef KIT_RVQ_HELIUM_H
#define KIT_RVQ_HELIUM_H

#include "kit_isa.h"

#if defined(KIT_ISA_HELIUM)

#include <arm_mve.h>
#include <stdint.h>

static inline void kit_rvq_arrange(int16_t *residual, unsigned stride)
{
    (void)residual;
    (void)stride;
}

static inline unsigned kit_rvq_place(unsigned d)
{
    return d;
}

static inline void kit_rvq_subtract8(int16_t *residual, const int8_t *row, unsigned stride, unsigned shift)
{
    for (unsigned d = 0; d < stride; d++) {
        residual[d] = (int16_t)(residual[d] - row[d] * ((int32_t)1 << shift));
    }
}

static inline void kit_rvq_subtract16(int16_t *residual, const int16_t *row, unsigned stride)
{
    for (unsigned d = 0; d < stride; d++) {
        residual[d] = (int16_t)(residual[d] - row[d]);
    }
}

static inline int32_t kit_rvq_energy(const int16_t *residual, unsigned stride)
{
    int32_t sum = 0;
    for (unsigned d = 0; d < stride; d += 8u) {
        const int16x8_t values = vldrhq_s16(residual + d);
        sum = vmladavaq_s16(sum, values, values);
    }
    return sum;
}

static inline int32_t kit_rvq_slack(const int16_t *residual, unsigned stride, unsigned shift)
{
    (void)residual;
    (void)stride;
    (void)shift;
    return 0;
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
    int32_t square = 0;
    int32_t cross = 0;
    (void)limit;
    for (unsigned d = 0; d < stride; d += 8u) {
        const int16x8_t values = vldrbq_s16(row + d);
        square = vmladavaq_s16(square, values, values);
        cross = vmladavaq_s16(cross, values, vldrhq_s16(residual + d));
    }
    return (square << shift) - 2 * cross;
}

static inline int32_t kit_rvq_score16(const int16_t *row, const int16_t *residual, unsigned stride, int32_t limit)
{
    int32_t square = 0;
    int32_t cross = 0;
    (void)limit;
    for (unsigned d = 0; d < stride; d += 8u) {
        const int16x8_t values = vldrhq_s16(row + d);
        square = vmladavaq_s16(square, values, values);
        cross = vmladavaq_s16(cross, values, vldrhq_s16(residual + d));
    }
    return square - 2 * cross;
}

static inline int32_t kit_rvq_product8(const int8_t *row, const int16_t *residual, unsigned stride)
{
    int32_t sum = 0;
    for (unsigned d = 0; d < stride; d += 8u) {
        sum = vmladavaq_s16(sum, vldrbq_s16(row + d), vldrhq_s16(residual + d));
    }
    return sum;
}

static inline int32_t kit_rvq_product16(const int16_t *row, const int16_t *residual, unsigned stride)
{
    int32_t sum = 0;
    for (unsigned d = 0; d < stride; d += 8u) {
        sum = vmladavaq_s16(sum, vldrhq_s16(row + d), vldrhq_s16(residual + d));
    }
    return sum;
}

#endif

#endif /* KIT_RVQ_HELIUM_H */

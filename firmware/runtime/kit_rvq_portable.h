/* Scores of the search without special instructions: the squared distance itself. Included by kit_rvq.c alone. */
#ifndef KIT_RVQ_PORTABLE_H
#define KIT_RVQ_PORTABLE_H

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
    (void)residual;
    (void)stride;
    return 0;
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
    (void)energy;
    (void)shift;
    return score;
}

static inline int32_t kit_rvq_score_at(int32_t energy, int32_t distance, unsigned shift)
{
    (void)energy;
    (void)shift;
    return distance;
}

static inline int32_t kit_rvq_square(int32_t value)
{
    return value * value;
}

/* A sum of squares that has reached the limit is beyond it, or will not be below. */
static inline int32_t kit_rvq_score8(const int8_t *row, const int16_t *residual, unsigned stride, unsigned shift,
                                     int32_t limit)
{
    const int8_t *end = row + stride;
    const int32_t unit = (int32_t)1 << shift;
    int32_t sum = 0;
    do {
        sum += kit_rvq_square(residual[0] - row[0] * unit);
        sum += kit_rvq_square(residual[1] - row[1] * unit);
        sum += kit_rvq_square(residual[2] - row[2] * unit);
        sum += kit_rvq_square(residual[3] - row[3] * unit);
        row += 4;
        residual += 4;
    } while (row != end && sum <= limit);
    return sum;
}

static inline int32_t kit_rvq_score16(const int16_t *row, const int16_t *residual, unsigned stride, int32_t limit)
{
    const int16_t *end = row + stride;
    int32_t sum = 0;
    do {
        sum += kit_rvq_square(residual[0] - row[0]);
        sum += kit_rvq_square(residual[1] - row[1]);
        sum += kit_rvq_square(residual[2] - row[2]);
        sum += kit_rvq_square(residual[3] - row[3]);
        row += 4;
        residual += 4;
    } while (row != end && sum <= limit);
    return sum;
}

static inline int32_t kit_rvq_product8(const int8_t *row, const int16_t *residual, unsigned stride)
{
    const int8_t *end = row + stride;
    int32_t sum = 0;
    do {
        sum += row[0] * residual[0];
        sum += row[1] * residual[1];
        sum += row[2] * residual[2];
        sum += row[3] * residual[3];
        row += 4;
        residual += 4;
    } while (row != end);
    return sum;
}

static inline int32_t kit_rvq_product16(const int16_t *row, const int16_t *residual, unsigned stride)
{
    const int16_t *end = row + stride;
    int32_t sum = 0;
    do {
        sum += *row++ * *residual++;
    } while (row != end);
    return sum;
}

#endif /* KIT_RVQ_PORTABLE_H */

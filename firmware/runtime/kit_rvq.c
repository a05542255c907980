#include "kit_rvq.h"

#include "kit_dot.h"

/* |r - e|^2 = |r|^2 + |e|^2 - 2 r.e, and |r|^2 is the same for every entry: the nearest one has the smallest
 * |e|^2 - 2 r.e. That is exact, so that ties are those of the distances. It fits int32 whenever the distance does:
 * with |r| <= R and |e| <= C per dimension, it lies within the sum of (R + C)^2 (NUMERICS.md section 4.3). */
typedef struct {
    int32_t score;
    uint16_t index;
} nearest_t;

static void offer(nearest_t *best, unsigned index, int32_t score)
{
    if (score < best->score) {
        best->score = score;
        best->index = (uint16_t)index;
    }
}

void kit_rvq_begin(const kit_codebook_t *codebook, const int8_t *latent, int16_t *residual)
{
    const int32_t unit = (int32_t)1 << codebook->residual_frac_bits;
    for (unsigned d = 0; d < codebook->dims; d++) {
        residual[d] = (int16_t)((latent[d] - codebook->latent_zero_point) * unit);
    }
}

/* Entries are even in number, and are visited in order, so that the lowest of equals stays. */

static unsigned nearest8(const kit_codebook_t *codebook, const int8_t *entry, const int32_t *norm, int32_t unit,
                         const int16_t *residual)
{
    const unsigned dims = codebook->dims;
    nearest_t best = {INT32_MAX, 0};
    for (unsigned index = 0; index < codebook->entries; index += 2u, entry += 2u * dims, norm += 2) {
        const kit_dot2_t dots = kit_dot2_s8_s16(entry, entry + dims, residual, dims);
        offer(&best, index, norm[0] - 2 * unit * dots.first);
        offer(&best, index + 1u, norm[1] - 2 * unit * dots.second);
    }
    return best.index;
}

static unsigned nearest16(const kit_codebook_t *codebook, const int16_t *entry, const int32_t *norm,
                          const int16_t *residual)
{
    const unsigned dims = codebook->dims;
    nearest_t best = {INT32_MAX, 0};
    for (unsigned index = 0; index < codebook->entries; index += 2u, entry += 2u * dims, norm += 2) {
        const kit_dot2_t dots = kit_dot2_s16(entry, entry + dims, residual, dims);
        offer(&best, index, norm[0] - 2 * dots.first);
        offer(&best, index + 1u, norm[1] - 2 * dots.second);
    }
    return best.index;
}

uint16_t kit_rvq_level(const kit_codebook_t *codebook, uint8_t level, int16_t *residual)
{
    const unsigned dims = codebook->dims;
    const uint32_t table = (uint32_t)level * codebook->entries;
    const int32_t *norm = codebook->norms + table;
    if (codebook->entries8 != 0) {
        const int8_t *first = codebook->entries8 + table * dims;
        const int32_t unit = (int32_t)1 << codebook->entry_shift[level];
        const unsigned index = nearest8(codebook, first, norm, unit, residual);
        const int8_t *entry = first + index * dims;
        for (unsigned d = 0; d < dims; d++) {
            residual[d] = (int16_t)(residual[d] - entry[d] * unit);
        }
        return (uint16_t)index;
    }
    const int16_t *first = codebook->entries16 + table * dims;
    const unsigned index = nearest16(codebook, first, norm, residual);
    const int16_t *entry = first + index * dims;
    for (unsigned d = 0; d < dims; d++) {
        residual[d] = (int16_t)(residual[d] - entry[d]);
    }
    return (uint16_t)index;
}

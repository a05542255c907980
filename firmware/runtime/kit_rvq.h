/* Residual vector quantization: nearest entry per level, exact in integers (NUMERICS.md section 4). */
#ifndef KIT_RVQ_H
#define KIT_RVQ_H

#include <stdint.h>

#include "kit_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Codebook of M levels, K entries and D dimensions, rendered as const tables. Exactly one of the two entry pointers is
 * not null. The rendering proves that every residual fits int16 and every squared distance int32. */
typedef struct {
    const int8_t *entries8;      /* int8 [M][K][D], or null */
    const int16_t *entries16;    /* int16 [M][K][D], or null; every shift is then 0 */
    const int32_t *norms;        /* [M][K], squared length of each entry * 2^E */
    const uint8_t *entry_shift;  /* [M], E: an entry stands for entry * 2^E, 0..15 */
    uint16_t entries;            /* K, 2..1024 */
    uint8_t dims;                /* D, 1..64 */
    uint8_t levels;              /* M, 1..8 */
    uint8_t residual_frac_bits;  /* F, 0..8: one latent LSB is 2^F residual units */
    int8_t latent_zero_point;    /* the encoder's output zero point */
} kit_codebook_t;

/* Residual of a latent before the first level: (latent[d] - zero point) * 2^F, D values each. */
void kit_rvq_begin(const kit_codebook_t *codebook, const int8_t *latent, int16_t *residual);

/* Index of the entry of `level` nearest to the residual, the lowest of equals; the entry is taken off the residual. */
uint16_t kit_rvq_level(const kit_codebook_t *codebook, uint8_t level, int16_t *residual);

#ifdef __cplusplus
}
#endif

#endif /* KIT_RVQ_H */

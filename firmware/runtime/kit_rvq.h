/* Residual vector quantization: nearest entry per level, or M-best search, in exact integers (NUMERICS.md section 4). */
#ifndef KIT_RVQ_H
#define KIT_RVQ_H

#include <stdint.h>

#include "kit_common.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KIT_RVQ_BLOCK 4u      /* entries that are looked at together */
#define KIT_RVQ_ROW_VALUES 8u /* rows are padded with zeros to a multiple of this many values */
#define KIT_RVQ_SIDES 2u      /* axes besides the first */
#define KIT_RVQ_AXES 3u       /* rows before the entries of a level */
#define KIT_RVQ_AXIS_BITS 6   /* an axis is at most 2^6 long */

/* Codebook of M levels, K entries and D dimensions, rendered as const tables (NUMERICS.md section 4.6). N entries are
 * stored per level, N = max(K, 4), in rows of S values: D, then the price coordinate, if any (section 4.7), padded to a
 * multiple of 8. Exactly one of the two pointers to rows is not null, and one of the two orders. The rendering proves
 * that every residual fits int16 and every squared distance int32, and that keys and sides are those of the rows. */
typedef struct {
    const int8_t *rows8;        /* int8 [M][3 + N][S]: the level's three axes, then its entries; or null */
    const int16_t *rows16;      /* the same in int16, or null; every entry_shift is then 0 */
    const uint8_t *order8;      /* uint8 [M][N], index of each stored entry; or null */
    const uint16_t *order16;    /* the same in uint16 for K > 256, or null */
    const int16_t *keys;        /* [M][N / 4], place of each block's first entry along the first axis, rising */
    const uint32_t *sides;      /* [M][N / 4][2], places of each block's entries along the other axes, a byte each */
    const int32_t *axis_base;   /* [M][3], what was taken off places to make keys and sides; 0 for keys */
    const uint8_t *axis_shift;  /* [M][3], place * 2^shift is in residual units times the axis */
    const uint8_t *entry_shift; /* [M], E: an entry stands for row * 2^E, 0..15 */
    uint16_t stored;            /* N, a multiple of 4, up to 4096 */
    uint8_t dims;               /* D, 1..64: values of a latent */
    uint8_t price_dims;         /* 1: value D of a row is the root of the entry's price; or 0 */
    uint8_t stride;             /* S, 8..72 */
    uint8_t levels;             /* M, 1..8 */
    uint8_t copies;             /* C, 1..8: the engine gives every value of a latent C times, and their sum counts */
    uint8_t residual_frac_bits; /* F, 0..8: one LSB of the engine is 2^F residual units */
    int8_t latent_zero_point;   /* the encoder's output zero point */
#if KIT_BEAM_SEARCH
    uint8_t beam;               /* choices of entries that a level leaves to the next, 1..8 (section 4.8) */
#endif
} kit_codebook_t;

/* Residual of a latent int8 [C][D] before the first level: (the sum of its copies' value d - C * zero point) * 2^F, then
 * 0. `residual` holds S values, in an order of this module's own. */
void kit_rvq_begin(const kit_codebook_t *codebook, const int8_t *latent, int16_t *residual);

/* Index of the entry of `level` nearest to the residual, the lowest of equals; the entry, without its price, is taken
 * off the residual, but for the last level, whose residual nobody needs. */
uint16_t kit_rvq_level(const kit_codebook_t *codebook, uint8_t level, int16_t *residual);

#if KIT_BEAM_SEARCH

#define KIT_RVQ_BEAM_MAX 8
#define KIT_RVQ_LEVELS_MAX 8

/* A choice of entries for the levels so far. */
typedef struct {
    int32_t paid;                          /* their prices, squared residual units */
    uint16_t position[KIT_RVQ_LEVELS_MAX]; /* their places in the stored order, level by level */
} kit_rvq_path_t;

/* M-best search of one level (section 4.8): `paths`, room for codebook->beam of them, holds the `count` best choices for
 * the levels before and receives those that this level leaves, the best first. Returns how many: one behind the last
 * level. At level 0, `paths` and `count` are not read. `residual` holds S values for the search to work in. */
unsigned kit_rvq_beam_level(const kit_codebook_t *codebook, uint8_t level, const int8_t *latent, int16_t *residual,
                            kit_rvq_path_t *paths, unsigned count);

/* Index of the entry that a path chooses at `level`. */
uint16_t kit_rvq_path_index(const kit_codebook_t *codebook, uint8_t level, const kit_rvq_path_t *path);

#endif

#ifdef __cplusplus
}
#endif

#endif /* KIT_RVQ_H */

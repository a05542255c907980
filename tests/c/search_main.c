/* Test program for the search: codebooks and latents from a file, indices into another, natively or on a board (its
 * input and output are those of host/runner). Cases follow each other:
 *
 *     IN:  12 words (D, price coordinates, S, N, M, bits of an entry, bits of an index, F, zero point, beam, copies,
 *          latents), then the tables of kit_codebook_t from rows to entry_shift, then int8 latents [n][C][D], each padded
 *          to whole words
 *     OUT: per case uint16 indices [n][M] */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kit_rvq.h"
#include "runner.h"
#include "runner_io.h"

#if !defined(POOL_BYTES)
#define POOL_BYTES (4u << 20)
#endif

enum { DIMS, PRICE_DIMS, STRIDE, STORED, LEVELS, ENTRY_BITS, INDEX_BITS, FRAC_BITS, ZERO_POINT, BEAM,
       COPIES, LATENTS, FIELDS };

static uint32_t pool[POOL_BYTES / 4u];
static size_t used;
static int complete;
/* Words on either side of the residual show whether it is overrun. */
static int16_t guarded[4 + 72 + 4];

/* The next `bytes` of the input; NULL, and the end of the run, when they do not fit or are not there. */
static const void *next(size_t bytes)
{
    const size_t padded = (bytes + 3u) & ~(size_t)3u;
    void *at = pool + used / 4u;
    if (used + padded > sizeof pool || kit_io_read(at, padded) != padded) {
        complete = 0;
        return NULL;
    }
    used += padded;
    return at;
}

static void search(const kit_codebook_t *codebook, int32_t beam, const int8_t *latent, uint16_t *index)
{
#if KIT_BEAM_SEARCH
    if (beam > 1) {
        kit_rvq_path_t paths[KIT_RVQ_BEAM_MAX];
        unsigned count = 0;
        for (uint8_t level = 0; level < codebook->levels; level++) {
            count = kit_rvq_beam_level(codebook, level, latent, guarded + 4, paths, count);
        }
        for (uint8_t level = 0; level < codebook->levels; level++) {
            index[level] = kit_rvq_path_index(codebook, level, paths);
        }
        return;
    }
#endif
    (void)beam;
    kit_rvq_begin(codebook, latent, guarded + 4);
    for (uint8_t level = 0; level < codebook->levels; level++) {
        index[level] = kit_rvq_level(codebook, level, guarded + 4);
    }
}

static int run_case(const int32_t *field)
{
    const size_t levels = (size_t)field[LEVELS];
    const size_t stored = (size_t)field[STORED];
    const size_t stride = (size_t)field[STRIDE];
    const size_t dims = (size_t)field[DIMS];
    const size_t channels = (size_t)field[COPIES] * dims;
    const size_t values = levels * (stored + KIT_RVQ_AXES) * stride;
    const size_t blocks = levels * stored / KIT_RVQ_BLOCK;
    kit_codebook_t codebook;
    memset(&codebook, 0, sizeof codebook);
    complete = 1;
    used = 0;
    if (field[ENTRY_BITS] == 8) {
        codebook.rows8 = next(values);
    } else {
        codebook.rows16 = next(2u * values);
    }
    if (field[INDEX_BITS] == 8) {
        codebook.order8 = next(levels * stored);
    } else {
        codebook.order16 = next(2u * levels * stored);
    }
    codebook.keys = next(2u * blocks);
    codebook.sides = next(4u * blocks * KIT_RVQ_SIDES);
    codebook.axis_base = next(4u * levels * KIT_RVQ_AXES);
    codebook.axis_shift = next(levels * KIT_RVQ_AXES);
    codebook.entry_shift = next(levels);
    const int8_t *latent = next((size_t)field[LATENTS] * channels);
    codebook.stored = (uint16_t)stored;
    codebook.dims = (uint8_t)dims;
    codebook.price_dims = (uint8_t)field[PRICE_DIMS];
    codebook.stride = (uint8_t)stride;
    codebook.levels = (uint8_t)levels;
    codebook.copies = (uint8_t)field[COPIES];
    codebook.residual_frac_bits = (uint8_t)field[FRAC_BITS];
    codebook.latent_zero_point = (int8_t)field[ZERO_POINT];
#if KIT_BEAM_SEARCH
    codebook.beam = (uint8_t)field[BEAM];
#endif
    for (int32_t i = 0; complete && i < field[LATENTS]; i++, latent += channels) {
        uint16_t index[8];
        memset(guarded, 0x5A, sizeof guarded);
        search(&codebook, field[BEAM], latent, index);
        if (!kit_io_write(index, levels * sizeof index[0])) {
            return 0;
        }
        for (unsigned k = 0; k < 4u; k++) {
            if (guarded[k] != 0x5A5A || guarded[4u + stride + k] != 0x5A5A) {
                return 0;
            }
        }
    }
    return complete;
}

int kit_runner_run(const char *input, const char *output)
{
    int32_t field[FIELDS];
    size_t bytes = 0;
    if (!kit_io_open_input(input) || !kit_io_open_output(output)) {
        return 1;
    }
    while ((bytes = kit_io_read(field, sizeof field)) == sizeof field) {
        if (!run_case(field)) {
            return 3;
        }
    }
    return kit_io_close() && bytes == 0 ? 0 : 4;
}

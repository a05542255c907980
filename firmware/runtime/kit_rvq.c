#include "kit_rvq.h"

#include <stddef.h>

#include "kit_isa.h"

/* Each of these scores entries in its own way: a lower score is a shorter distance, an equal one the same distance.
 *     kit_rvq_arrange    bring a new residual into the variant's own order
 *     kit_rvq_place      where a dimension stands in that order
 *     kit_rvq_subtract*  take an entry off the residual
 *     kit_rvq_score*     score of a row, or any value above `limit` where the score is above limit - slack
 *     kit_rvq_distance   squared distance from the score
 *     kit_rvq_score_at   the highest score of a distance up to a given one
 *     kit_rvq_energy     what that needs of the residual
 *     kit_rvq_slack      what a part of a score may be too large by
 *     kit_rvq_product*   product of a row with the residual */
#if defined(KIT_ISA_HELIUM)
#include "kit_rvq_helium.h"
#elif defined(KIT_ISA_DSP)
#include "kit_rvq_dsp.h"
#else
#include "kit_rvq_portable.h"
#endif

/* Width of the entries, where all codebooks have the same. */
#if !defined(KIT_CODEBOOK_BITS)
#define KIT_CODEBOOK_BITS 0
#endif

#define EACH 0x01010101u /* a side in each byte of a word */
#define FLAG 0x80808080u /* the bit of each byte that no side uses */
#define SIDE_MAX 127

enum { UP = 0, DOWN = 1 };

#if KIT_BEAM_SEARCH
/* An entry that may be among those that a level keeps. */
typedef struct {
    int32_t cost;      /* squared distance, and what its path has paid before */
    uint16_t index;    /* in the codebook */
    uint16_t position; /* in the stored order */
    uint16_t path;     /* that it continues */
} choice_t;
#endif

/* Entries stand in the order of their products with an axis p, |p| <= 2^6. By Cauchy-Schwarz, an entry e whose product
 * differs by g from that of the residual r has |r - e| >= |g| / 2^6. The search starts at the block where r would
 * stand, goes up from there and then down, and ends in either direction at the first block that lies too far along
 * the axis to hold an entry as near as the best. In the blocks it visits, it scores the entries that are near enough
 * along two more axes (NUMERICS.md section 4.6). */
typedef struct {
    const kit_codebook_t *codebook;
    const int16_t *residual;
    const int8_t *rows8;                 /* first entry of the level; the kind that the codebook has */
    const int16_t *rows16;
    int32_t product[KIT_RVQ_AXES];       /* of each axis with the residual */
    int32_t energy;                      /* see kit_rvq_energy */
    int32_t slack;                       /* see kit_rvq_slack */
    int32_t bound[2];                    /* UP: the highest key worth visiting; DOWN: the complement of the lowest */
    uint32_t side_low[KIT_RVQ_SIDES];    /* lowest side worth a score, in each byte */
    uint32_t side_high[KIT_RVQ_SIDES];   /* highest side worth a score, with the flag */
    int32_t score;                       /* of the best entry so far */
    int32_t limit;                       /* score + slack: what is above it is worth no more */
    uint16_t index;                      /* of the best entry in the codebook */
    uint16_t position;                   /* of it in the stored order */
    uint16_t block;                      /* first block of the level */
    uint8_t level;
    uint8_t shift;                       /* E */
#if KIT_BEAM_SEARCH
    choice_t *choices;                   /* the best entries so far, over all paths, the best first; null: one is kept */
    int32_t paid;                        /* by the path */
    uint16_t path;
    uint8_t width;                       /* choices that stay */
    uint8_t found;                       /* choices so far */
#endif
} search_t;

/* Are the rows int8? */
static int is_narrow(const kit_codebook_t *codebook)
{
#if KIT_CODEBOOK_BITS == 0
    return codebook->rows8 != NULL;
#else
    (void)codebook;
    return KIT_CODEBOOK_BITS == 8;
#endif
}

/* Sum of the copies of a latent's value (section 4.1). */
static inline int32_t sum_of_copies(const int8_t *copy, unsigned copies, unsigned dims)
{
    int32_t sum = *copy;
    for (; copies > 1u; copies--) {
        copy += dims;
        sum += *copy;
    }
    return sum;
}

void kit_rvq_begin(const kit_codebook_t *codebook, const int8_t *latent, int16_t *residual)
{
    const int32_t unit = (int32_t)1 << codebook->residual_frac_bits;
    const unsigned dims = codebook->dims;
    const unsigned copies = codebook->copies;
    const int32_t zero = codebook->latent_zero_point * (int32_t)copies;
    if (copies == 1u) {
        for (unsigned d = 0; d < dims; d++) {
            residual[d] = (int16_t)((latent[d] - zero) * unit);
        }
    } else {
        for (unsigned d = 0; d < dims; d++) {
            residual[d] = (int16_t)((sum_of_copies(latent + d, copies, dims) - zero) * unit);
        }
    }
    for (unsigned d = dims; d < codebook->stride; d++) {
        residual[d] = 0;
    }
    kit_rvq_arrange(residual, codebook->stride);
}

/* Last block whose key is not above `key`, or the first. */
static unsigned first_block(const int16_t *keys, unsigned blocks, int32_t key)
{
    unsigned low = 0;
    for (unsigned high = blocks; high - low > 1u;) {
        const unsigned middle = (low + high) / 2u;
        if (keys[middle] <= key) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* At least 2^6 * sqrt(distance): sqrt(n) <= (g + n / g) / 2 for any g, here the power of two nearest to the root, which
 * is at most 6 % too much. */
static int32_t reach(int32_t distance)
{
#if defined(__ARM_FEATURE_CLZ)
    const unsigned bits = (unsigned)(32 - __builtin_clz((unsigned)distance | 1u)) / 2u;
#else
    unsigned bits = 0;
    for (unsigned step = 8; step != 0; step /= 2u) {
        if (kit_asr32(distance, 2u * (bits + step) - 1u) != 0) {
            bits += step;
        }
    }
#endif
    return (((int32_t)1 << bits) + kit_asr32(distance, bits) + 1) * ((int32_t)1 << (KIT_RVQ_AXIS_BITS - 1));
}

static uint16_t index_at(const kit_codebook_t *codebook, uint32_t place)
{
    return codebook->order8 != NULL ? codebook->order8[place] : codebook->order16[place];
}

/* From here on, look for entries with a score up to `score`, that is, up to `distance` away. */
static inline void set_bound(search_t *search, int32_t score, int32_t distance)
{
    const kit_codebook_t *codebook = search->codebook;
    const int32_t far = reach(distance);
    const unsigned axes = search->level * KIT_RVQ_AXES;
    for (unsigned i = 0; i < KIT_RVQ_AXES; i++) {
        const unsigned shift = codebook->axis_shift[axes + i];
        const int32_t base = codebook->axis_base[axes + i];
        const int32_t low = kit_asr32(search->product[i] - far, shift) - base;
        const int32_t high = kit_asr32(search->product[i] + far, shift) - base;
        if (i == 0) {
            search->bound[UP] = high;
            search->bound[DOWN] = -low; /* the complement of low - 1, since a block may reach beyond its key */
        } else {
            search->side_low[i - 1u] = (uint32_t)kit_clamp32(low, 0, SIDE_MAX) * EACH;
            search->side_high[i - 1u] = (uint32_t)kit_clamp32(high, 0, SIDE_MAX) * EACH | FLAG;
        }
    }
    search->score = score;
    search->limit = score + search->slack;
}

#if KIT_BEAM_SEARCH

/* Put an entry among the choices. Those of a lower cost come first, then those of an earlier path, then those of a
 * lower index; paths are searched in their order. */
static void insert(search_t *search, unsigned position, uint16_t index, int32_t score)
{
    choice_t *choices = search->choices;
    const int32_t cost = search->paid + kit_rvq_distance(search->energy, score, search->shift);
    unsigned at = search->found;
    for (; at != 0 && cost <= choices[at - 1u].cost; at--) {
        const choice_t *before = &choices[at - 1u];
        if (cost == before->cost && (before->path != search->path || before->index < index)) {
            break;
        }
        if (before->path == search->path && before->index == index) {
            return; /* a codebook of two entries stores one of them three times */
        }
    }
    if (at == search->width) {
        return;
    }
    if (search->found < search->width) {
        search->found++;
    }
    for (unsigned k = search->found - 1u; k > at; k--) {
        choices[k] = choices[k - 1u];
    }
    choices[at].cost = cost;
    choices[at].index = index;
    choices[at].position = (uint16_t)position;
    choices[at].path = search->path;
}

/* As soon as the choices are as many as may stay, the last of them bounds the search. */
static void bound_by_last(search_t *search)
{
    if (search->found == search->width) {
        const int32_t distance = search->choices[search->width - 1u].cost - search->paid;
        set_bound(search, kit_rvq_score_at(search->energy, distance, search->shift), distance);
    }
}

#endif

/* Make the entry at `position` the best so far, unless it is as near as the best and has a higher index; or, in a search
 * for several, one of the best. */
static KIT_NOINLINE void take(search_t *search, unsigned position, int32_t score)
{
    const uint16_t index = index_at(search->codebook, search->block * KIT_RVQ_BLOCK + position);
#if KIT_BEAM_SEARCH
    if (search->choices != NULL) {
        insert(search, position, index, score);
        bound_by_last(search);
        return;
    }
#endif
    if (score == search->score && index > search->index) {
        return;
    }
    set_bound(search, score, kit_rvq_distance(search->energy, score, search->shift));
    search->index = index;
    search->position = (uint16_t)position;
}

/* Score of the entry at `position`, or any value above the limit where the score is above it. */
static KIT_NOINLINE int32_t score_of(const search_t *search, unsigned position)
{
    const unsigned stride = search->codebook->stride;
    return is_narrow(search->codebook)
               ? kit_rvq_score8(search->rows8 + position * stride, search->residual, stride, search->shift, search->limit)
               : kit_rvq_score16(search->rows16 + position * stride, search->residual, stride, search->limit);
}

/* Visit up to `blocks` blocks from `block` on, upwards or downwards. */
static void scan(search_t *search, unsigned block, unsigned blocks, int direction)
{
    const int step = direction == UP ? 1 : -1;
    const uint32_t *sides = search->codebook->sides + KIT_RVQ_SIDES * (search->block + block);
    /* The entries of a block have products from its key to the next block's key, both included. */
    const int16_t *key = search->codebook->keys + search->block + block + direction;
    unsigned position = block * KIT_RVQ_BLOCK;
    for (; blocks != 0 && (*key ^ -direction) <= search->bound[direction]; blocks--) {
        /* No byte borrows from the next, as flags are above sides. A flag stays where low <= side <= high. */
        uint32_t near = ((sides[0] | FLAG) - search->side_low[0]) & (search->side_high[0] - sides[0]) &
                        ((sides[1] | FLAG) - search->side_low[1]) & (search->side_high[1] - sides[1]) & FLAG;
        for (unsigned at = position; near != 0; at++, near >>= 8) {
            if ((near & 0x80u) != 0) {
                const int32_t score = score_of(search, at);
                if (score <= search->score) {
                    take(search, at, score);
                }
            }
        }
        key += step;
        sides += step * (int)KIT_RVQ_SIDES;
        position += (unsigned)(step * (int)KIT_RVQ_BLOCK);
    }
}

/* Prepare the search of a level for a residual; the first entry will be the best so far, whatever its score. */
static inline void begin(search_t *search, const kit_codebook_t *codebook, uint8_t level, const int16_t *residual)
{
    const unsigned stride = codebook->stride;
    const uint32_t table = (uint32_t)level * (codebook->stored + KIT_RVQ_AXES) * stride;
    search->codebook = codebook;
    search->residual = residual;
    search->rows8 = is_narrow(codebook) ? codebook->rows8 + table : NULL;
    search->rows16 = is_narrow(codebook) ? NULL : codebook->rows16 + table;
    for (unsigned i = 0; i < KIT_RVQ_AXES; i++) {
        if (is_narrow(codebook)) {
            search->product[i] = kit_rvq_product8(search->rows8, residual, stride);
            search->rows8 += stride;
        } else {
            search->product[i] = kit_rvq_product16(search->rows16, residual, stride);
            search->rows16 += stride;
        }
    }
    search->block = (uint16_t)(level * (codebook->stored / KIT_RVQ_BLOCK));
    search->level = level;
    search->shift = codebook->entry_shift[level];
    search->energy = kit_rvq_energy(residual, stride);
    search->slack = kit_rvq_slack(residual, stride, search->shift);
    for (unsigned i = 0; i < 2u; i++) {
        search->bound[i] = INT32_MAX;
        search->side_low[i] = 0;
        search->side_high[i] = UINT32_MAX;
    }
    search->score = INT32_MAX;
    search->limit = INT32_MAX;
    search->index = UINT16_MAX;
    search->position = 0;
}

/* Visit every block that may matter, from the one where the residual would stand. */
static inline void run(search_t *search)
{
    const kit_codebook_t *codebook = search->codebook;
    const unsigned blocks = codebook->stored / KIT_RVQ_BLOCK;
    const int32_t key = kit_asr32(search->product[0], codebook->axis_shift[search->level * KIT_RVQ_AXES]);
    const unsigned start = first_block(codebook->keys + search->block, blocks, key);
    scan(search, start, blocks - start, UP);
    scan(search, start - 1u, start, DOWN);
}

/* Take the entry at `position`, without its price, off the residual. */
static inline void subtract(const search_t *search, unsigned position, int16_t *residual)
{
    const kit_codebook_t *codebook = search->codebook;
    const unsigned stride = codebook->stride;
    if (is_narrow(codebook)) {
        kit_rvq_subtract8(residual, search->rows8 + position * stride, stride, search->shift);
    } else {
        kit_rvq_subtract16(residual, search->rows16 + position * stride, stride);
    }
    if (codebook->price_dims != 0) {
        residual[kit_rvq_place(codebook->dims)] = 0; /* a price counts in its own level alone */
    }
}

uint16_t kit_rvq_level(const kit_codebook_t *codebook, uint8_t level, int16_t *residual)
{
    search_t search;
    begin(&search, codebook, level, residual);
#if KIT_BEAM_SEARCH
    search.choices = NULL;
#endif
    run(&search);
    if (level + 1u < codebook->levels) {
        subtract(&search, search.position, residual);
    }
    return search.index;
}

#if KIT_BEAM_SEARCH

/* Value `d` of the entry at `position` of a level, in residual units. */
static int32_t entry_value(const kit_codebook_t *codebook, unsigned level, unsigned position, unsigned d)
{
    const uint32_t row = level * (codebook->stored + KIT_RVQ_AXES) + KIT_RVQ_AXES + position;
    const uint32_t at = row * codebook->stride + d;
    const int32_t unit = (int32_t)1 << codebook->entry_shift[level];
    return (is_narrow(codebook) ? codebook->rows8[at] : codebook->rows16[at]) * unit;
}

/* The residual that a path leaves to `level`. */
static void follow(const kit_codebook_t *codebook, unsigned level, const kit_rvq_path_t *path, const int8_t *latent,
                   int16_t *residual)
{
    kit_rvq_begin(codebook, latent, residual);
    for (unsigned before = 0; before < level; before++) {
        for (unsigned d = 0; d < codebook->dims; d++) {
            int16_t *value = residual + kit_rvq_place(d);
            *value = (int16_t)(*value - entry_value(codebook, before, path->position[before], d));
        }
    }
}

unsigned kit_rvq_beam_level(const kit_codebook_t *codebook, uint8_t level, const int8_t *latent, int16_t *residual,
                            kit_rvq_path_t *paths, unsigned count)
{
    choice_t choices[KIT_RVQ_BEAM_MAX];
    kit_rvq_path_t kept[KIT_RVQ_BEAM_MAX];
    search_t search;
    search.choices = choices;
    search.width = (uint8_t)(level + 1u < codebook->levels ? codebook->beam : 1u);
    search.found = 0;
    if (level == 0) {
        paths[0].paid = 0;
        count = 1;
    }
    for (unsigned path = 0; path < count; path++) {
        search.path = (uint16_t)path;
        search.paid = paths[path].paid;
        if (search.found == search.width && choices[search.width - 1u].cost < search.paid) {
            continue; /* whatever follows is dearer than all choices */
        }
        follow(codebook, level, &paths[path], latent, residual);
        begin(&search, codebook, level, residual);
        bound_by_last(&search);
        run(&search);
    }
    for (unsigned i = 0; i < search.found; i++) {
        kept[i] = paths[choices[i].path];
        kept[i].position[level] = choices[i].position;
        if (codebook->price_dims != 0) {
            const int32_t root = entry_value(codebook, level, choices[i].position, codebook->dims);
            kept[i].paid += root * root;
        }
    }
    for (unsigned i = 0; i < search.found; i++) {
        paths[i] = kept[i];
    }
    return search.found;
}

uint16_t kit_rvq_path_index(const kit_codebook_t *codebook, uint8_t level, const kit_rvq_path_t *path)
{
    return index_at(codebook, (uint32_t)level * codebook->stored + path->position[level]);
}

#endif

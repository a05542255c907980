/* Entropy coding of a frame's indices: a range coder with static models in flash (NUMERICS.md section 7). */
#ifndef KIT_CODING_H
#define KIT_CODING_H

#include <stdint.h>

#include "kit_common.h"

/* 1 where any model of the firmware range-codes its indices; from kit_config.h. Without, codecs are smaller. */
#if !defined(KIT_RANGE_CODING)
#define KIT_RANGE_CODING 0
#endif

/* 1 where any model of the firmware has a network among its coding tables; from kit_config.h. */
#if !defined(KIT_CODING_NETWORK)
#define KIT_CODING_NETWORK 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define KIT_CODING_TOTAL_BITS 14u /* frequencies of a row sum to at most 2^14 */
#define KIT_CODING_SCALE_BITS 10u /* a scale counts in units of 2^-10 */
#define KIT_CODING_GROUPS_MAX 64u
#define KIT_CODING_WIDTH_MAX 8u
#define KIT_CODING_UNITS_MAX 32u

/* Weighs the groups of the next index of the first level by the groups of the indices before: a recurrent network. */
typedef struct {
    const int8_t *embedding;    /* [G + 1][width], vector of each group, and of no group */
    const int8_t *recurrent;    /* [units][width + units], from the vector of the group before and from the units there */
    const int16_t *unit_bias;   /* [units] */
    const int8_t *output;       /* [G][units] */
    const int16_t *output_bias; /* [G] */
    uint8_t width;              /* 1..8 */
    uint8_t units;              /* 1..32 */
} kit_coding_network_t;

/* How the indices of one level are coded, rendered as const tables: sorted into groups, which a row of weights that the
 * context chooses codes, or a network, and within a group by weights of its own. Weights are 4-bit codes, two in a byte, the
 * first in the low half. The rendering proves that slots are a permutation, that every context has its row, and that
 * no row's frequencies exceed 2^14. More than 1024 indices are always their own places. */
typedef struct {
    const uint8_t *slot;          /* [K], place of each index in the order of groups, its low 8 bits; null: the index */
    const uint8_t *slot_high;     /* [K / 4], bits 8 and 9 of four places in a byte; null for K <= 256 */
    const uint16_t *first;        /* [G + 1], first place of each group */
    const uint8_t *members;       /* [K / 2], weights within groups by place */
    const uint16_t *member_scale; /* [G] */
    const uint8_t *context;       /* by place of the index conditioned on >> shift: near class | far class << 6 */
    const uint8_t *rows;          /* [rows][ceil(G / 2)], weights of the groups */
    const uint16_t *row_scale;    /* [rows] */
    const kit_coding_network_t *network; /* in the place of context and rows, on the first level only; or null */
    uint16_t start;               /* the last row: no context */
    uint8_t groups;               /* G, 1..64; 0: no model, every index is as likely */
    uint8_t far_classes;          /* 1..4; row = near class * far classes + far class */
    uint8_t shift;                /* 0..12 */
} kit_coding_level_t;

/* State of a coder: one frame at a time. */
typedef struct {
    uint8_t *bytes;    /* the code */
    uint32_t low;      /* low end of the interval behind the bytes written */
    uint32_t range;    /* its width, 2^24 .. 2^32 - 1 between two calls */
    uint16_t capacity; /* bytes a code must stay below */
    uint16_t length;   /* bytes written; capacity: given up */
    uint16_t near;     /* place of the first level's index one position before */
    uint16_t above;    /* place of the index of the level before, at this position */
    uint8_t far_class; /* far class of the first level's index two positions before */
    uint8_t started;   /* a position was coded */
#if KIT_CODING_NETWORK
    uint8_t before;                     /* group of the first level's index one position before; G: none */
    int8_t units[KIT_CODING_UNITS_MAX]; /* what the network's units give at the latest position */
#endif
} kit_coder_t;

/* Begin the code of a frame in `bytes`. Codes of `capacity` bytes and more are given up. `levels` describes the model's
 * levels. */
void kit_coder_begin(kit_coder_t *coder, const kit_coding_level_t *levels, uint8_t *bytes, uint16_t capacity);

/* Code the next index, position by position, within a position level by level. `number` is the level of the index, which
 * has `index_bits` bits. */
void kit_coder_put(kit_coder_t *coder, const kit_coding_level_t *levels, uint8_t number, uint16_t index,
                   unsigned index_bits);

/* Finish the code and return its length; `capacity` where it was given up. */
uint16_t kit_coder_end(kit_coder_t *coder);

#ifdef __cplusplus
}
#endif

#endif /* KIT_CODING_H */

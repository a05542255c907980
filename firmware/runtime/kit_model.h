/* One model as the runtime sees it: a const descriptor in flash, rendered as <prefix>_model. */
#ifndef KIT_MODEL_H
#define KIT_MODEL_H

#include <stdint.h>

#include "kit_coding.h"
#include "kit_common.h"
#include "kit_normalise.h"
#include "kit_rvq.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KIT_BUILD_HASH_BYTES 8

typedef struct {
    kit_codebook_t codebook;
    uint32_t sample_rate_mhz;   /* sample rate, millihertz */
    int32_t sample_max;         /* pushed samples are limited to -sample_max - 1 .. sample_max, ADC codes */
    uint16_t frame_samples;     /* T, samples per frame, 16..4096, a multiple of positions */
    uint16_t positions;         /* P, latent positions per frame, at least 2 */
    uint16_t packet_bytes;      /* length of a packet body, bytes; of the longest where indices are range-coded */
    uint8_t sample_bits;        /* significant bits of a sample, 8..24 */
    uint8_t lsb_bits;           /* L, 3..6: the encoder's input has 2^L LSB per unit */
    uint8_t index_bits;         /* B = log2 K, bits per index, 1..12 */
    uint8_t mean_bytes;         /* bytes of the mean in the packet: 2 or 3; 0: no side information */
    uint8_t input_shaping;      /* KIT_SHAPING_NONE or KIT_SHAPING_FIRST */
    uint8_t remainder_bits;     /* Q, 0..4: fractional bits of the encoder's second input channel; 0: it has one channel */
    uint8_t build_hash[KIT_BUILD_HASH_BYTES]; /* what this model computes; equals the host's build_hash */
#if KIT_RANGE_CODING
    const kit_coding_level_t *coding; /* [M], how indices are range-coded; null: index_bits each */
#endif
} kit_model_t;

/* Bytes of the packed indices in a packet body. */
static inline uint16_t kit_model_index_bytes(const kit_model_t *model)
{
    return (uint16_t)(model->packet_bytes - (model->mean_bytes != 0 ? model->mean_bytes + 1 : 0));
}

/* Does a packet's body have a length of its own? */
static inline int kit_model_is_range_coded(const kit_model_t *model)
{
#if KIT_RANGE_CODING
    return model->coding != 0;
#else
    (void)model;
    return 0;
#endif
}

#ifdef __cplusplus
}
#endif

#endif /* KIT_MODEL_H */

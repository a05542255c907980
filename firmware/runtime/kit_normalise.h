/* Raw samples to the INT8 input of the encoder, in integers (NUMERICS.md section 2).
 *
 * Statistics are gathered sample by sample in one pass; the scale follows from them once per frame. */
#ifndef KIT_NORMALISE_H
#define KIT_NORMALISE_H

#include <stdint.h>

#include "kit_common.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KIT_REMAINDER_BITS_MAX 4   /* largest Q for which the bounds of section 2.5 hold */
#define KIT_FRAME_SAMPLES_MAX 4096 /* longest frame for which the overflow bounds of section 2.5 hold */

/* What becomes of the rounding error of a normalised sample (section 2.4). */
#define KIT_SHAPING_NONE 0  /* it is lost */
#define KIT_SHAPING_FIRST 1 /* it is added to the sample that follows */

/* Running sums of a frame. With 24-bit samples and 4096 of them: |sum| <= 2^35, squares <= 2^58. */
typedef struct {
    int64_t sum;       /* of x, ADC codes */
    int64_t squares;   /* of x^2, ADC codes squared */
    kit_sample_t low;  /* smallest x so far, ADC codes */
    kit_sample_t high; /* largest x so far, ADC codes */
    uint16_t samples;  /* gathered so far, 0..T */
} kit_statistics_t;

#if KIT_SAMPLE_BITS == 16
typedef int32_t kit_carry_t; /* products of a deviation and R: below 2^30 + 2^27 */
#else
typedef int64_t kit_carry_t; /* below 2^38 + 2^35 */
#endif

/* What the samples of one frame are normalised with, and what the packet tells the server. */
typedef struct {
    kit_carry_t carry;                     /* rounding error of the sample before; 0 without shaping */
    int32_t mean;                          /* m, ADC codes, rounded to the nearest */
    uint16_t factor;                       /* R, 8738..16384; 0 for a flat frame */
    uint8_t shift;                         /* right shift behind the multiplication, 6..40; 0 for a flat frame */
    uint8_t scale_code;                    /* 0: flat frame; else 1..255 */
    uint8_t shaping;                       /* KIT_SHAPING_NONE or KIT_SHAPING_FIRST */
    uint8_t remainder_bits;                /* Q, 0..4: fractional bits of the second input channel; 0: there is none */
    int8_t column[KIT_INPUT_CHANNELS_MAX]; /* the latest sample as encoder input: its value, and what that leaves */
} kit_scale_t;

/* Empty a frame's statistics. */
void kit_statistics_begin(kit_statistics_t *statistics);

/* Take the next sample of the frame. */
void kit_statistics_add(kit_statistics_t *statistics, kit_sample_t sample);

/* Mean and scale of a gathered frame, with no carry, no shaping and no remainder. `lsb_bits` is L, 3..6: the encoder's
 * input has 2^L LSB per unit. */
void kit_scale_of(kit_scale_t *scale, const kit_statistics_t *statistics, unsigned lsb_bits);

/* The frame's next sample as a column of the encoder's input: its value, and with remainder bits what the value leaves,
 * each -128..127; stays in `scale` until the next call. With shaping, samples must come in order, each once. */
const int8_t *kit_normalise(kit_scale_t *scale, kit_sample_t sample);

#ifdef __cplusplus
}
#endif

#endif /* KIT_NORMALISE_H */

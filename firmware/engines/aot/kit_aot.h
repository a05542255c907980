/* Ahead-of-time engine: the encoder as a chain of convolutions over rendered tables, computed a few columns at a time.
 *
 * A convolution needs its last `kernel` input columns and no others, so that is all each layer keeps: a window, oldest
 * column first, with `stride` columns more for every further output column of a batch, because columns that are computed
 * together share the loads of the weights. The scheduler pulls: the deepest layer whose window holds a whole batch
 * computes it, straight into the window of the layer behind it, and then moves its own window on. Moving costs far less
 * than the convolution saves by reading its taps in one run. Padding columns hold the input zero point, which lets the
 * bias absorb the zero point of every product (NUMERICS.md section 3.2). */
#ifndef KIT_AOT_H
#define KIT_AOT_H

#include <stdint.h>

#include "kit_common.h"
#include "kit_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KIT_AOT_BATCH 2 /* output columns a layer computes at a time, at most */

/* Orders of a layer's weights in flash; kit/render/layouts has one file for each. */
enum {
    KIT_AOT_LAYOUT_ROWS = 0,   /* int8 [out][tap][in], or depthwise [tap][channel] */
    KIT_AOT_LAYOUT_PAIRS = 1,  /* two output channels after the other: biases, weights, requantization */
    KIT_AOT_LAYOUT_QUADS = 2,  /* int8 [out / 4][tap][in][4 output channels] */
    KIT_AOT_LAYOUT_LANES = 3,  /* depthwise, four channels after the other: biases, weights, requantization */
    KIT_AOT_LAYOUT_HELIUM = 4, /* see kit_aot_kernels_helium.c */
    KIT_AOT_LAYOUT_HOST = 5    /* see kit_aot_kernels_host.c */
};

/* One layer, in flash. */
typedef struct {
    const void *weights;        /* in the layout named below; a layout that holds bias and requantization too ... */
    const int32_t *bias;        /* ... leaves these three 0. [out], input zero point folded in */
    const int32_t *multiplier;  /* [out], Q31: 0 or 2^30 .. 2^31 - 1 */
    const int8_t *shift;        /* [out], -31..30, positive is left */
    uint16_t window;            /* offset of the layer's window in the activations, bytes, a multiple of 4 */
    uint16_t in_channels;       /* channels of an input column */
    uint16_t out_channels;      /* channels of an output column */
    uint16_t in_pitch;          /* bytes from an input column to the next */
    uint16_t out_pitch;         /* bytes from an output column to the next */
    uint16_t in_columns;        /* input columns per frame, without padding */
    uint16_t out_columns;       /* output columns per frame */
    uint8_t kernel;             /* taps */
    uint8_t stride;             /* input columns per output column */
    uint8_t batch;              /* output columns computed together, 1..KIT_AOT_BATCH */
    uint8_t columns;            /* columns of the window: kernel + (batch - 1) * stride */
    uint8_t pad_left;           /* padding columns before the first input column */
    uint8_t depthwise;          /* 1: each output channel reads the input channel of its own number */
    uint8_t layout;             /* KIT_AOT_LAYOUT_* of the weights */
    uint8_t in_wide;            /* 1: the window holds int16; 0: int8 */
    uint8_t out_wide;           /* the same for the output columns */
    uint8_t small;              /* 1: every accumulator is below 2^23 in magnitude and every shift in -22..-1 */
    int8_t in_zero_point;       /* value of padding columns */
    int8_t out_zero_point;      /* added after requantization */
    int8_t act_min;             /* lower clamp of the output */
    int8_t act_max;             /* upper clamp of the output */
} kit_aot_layer_t;

/* Progress of one layer within a frame. */
typedef struct {
    uint16_t received; /* input columns so far, without padding */
    uint16_t produced; /* output columns so far */
    uint8_t held;      /* columns in the window */
    uint8_t skip;      /* input columns to come that no tap reads: stride beyond kernel */
} kit_aot_progress_t;

/* One encoder, in flash. */
typedef struct {
    const kit_aot_layer_t *layers; /* in execution order */
    uint16_t layer_count;          /* at least 1 */
    uint16_t output;               /* offset of the last layer's output columns in the activations, bytes */
    uint16_t activation_bytes;     /* all windows and the output columns */
} kit_aot_model_t;

/* Bits of how an engine keeps samples, each a column of one or two channels. */
#define KIT_AOT_INPUT_WIDE 1u /* as int16; else int8 */
#define KIT_AOT_INPUT_PAIR 2u /* value and remainder; else the value alone */

/* The engine's state; the rendered <prefix>_engine_t holds it with the arrays it points to. */
struct kit_engine {
    const kit_aot_model_t *model;
    kit_aot_progress_t *progress; /* one per layer */
    int8_t *activations;          /* activation_bytes of the model, at a multiple of 4 */
    int8_t *input;                /* where the next sample goes */
    uint16_t layer;               /* the layer to try next; all layers behind it wait for input */
    uint16_t wanted;              /* samples to come before anything can be done */
    uint8_t pending;              /* columns of the last layer's latest batch that wait to be handed out */
    uint8_t column;               /* columns of that batch that were handed out */
    uint8_t input_pitch;          /* bytes from a sample to the next; 0 for samples that no tap reads */
    uint8_t input_form;           /* how samples are kept: KIT_AOT_INPUT_* */
};

/* Bind an engine to its model and memory. Returns KIT_OK, or KIT_ERR_MODEL when the memory has another size. */
kit_status_t kit_aot_init(kit_engine_t *engine, const kit_aot_model_t *model, kit_aot_progress_t *progress,
                          uint16_t progress_count, int8_t *activations, uint16_t activation_bytes);

#ifdef __cplusplus
}
#endif

#endif /* KIT_AOT_H */

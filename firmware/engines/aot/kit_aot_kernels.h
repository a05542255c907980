/* Kernels of the ahead-of-time engine: a batch of output columns from a window of input columns. One file per
 * instruction set (kit_isa.h) implements them; all of them give the same bytes. */
#ifndef KIT_AOT_KERNELS_H
#define KIT_AOT_KERNELS_H

#include <stdint.h>

#include "kit_aot.h"
#include "kit_isa.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `count` output columns of a layer, 1..batch. Output column j reads the `kernel` input columns of in_channels int8 from
 * window + j * stride * in_channels, oldest first, and becomes out_channels int8 at columns + j * out_channels. The
 * window begins at a multiple of 4; the columns, which are no part of it, anywhere. */
void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count);
void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count);

/* Any layer in the layout `rows`, with any requantization, one product after the other: for the layers that the kernels
 * of an instruction set do not take. Small, because every firmware carries it and hardly any model needs it. */
void kit_aot_plain(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count);

/* Limit output columns that were saturated to int8 to the layer's own range, where that is narrower. */
void kit_aot_clamp(const kit_aot_layer_t *layer, int8_t *columns, unsigned count);

#ifdef __cplusplus
}
#endif

#endif /* KIT_AOT_KERNELS_H */

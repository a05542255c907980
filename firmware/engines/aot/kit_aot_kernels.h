/* Kernels of the ahead-of-time engine: one output column from a window of input columns. */
#ifndef KIT_AOT_KERNELS_H
#define KIT_AOT_KERNELS_H

#include <stdint.h>

#include "kit_aot.h"

#ifdef __cplusplus
extern "C" {
#endif

/* round(value * multiplier * 2^(shift - 31)), rounded twice as TensorFlow Lite Micro's reference kernels do: after the
 * high multiplication, halves up, and after the right shift, halves away from zero (NUMERICS.md section 3.3).
 * multiplier 0 or 2^30 .. 2^31 - 1; shift -31..30; value * 2^shift fits int32 for positive shifts. */
int32_t kit_aot_requantize(int32_t value, int32_t multiplier, int shift);

/* Output column of a layer: reads the `kernel` columns of in_channels int8 in `window`, oldest first, writes
 * out_channels int8 to `column`, which is no part of the window. */
void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column);
void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column);

#ifdef __cplusplus
}
#endif

#endif /* KIT_AOT_KERNELS_H */

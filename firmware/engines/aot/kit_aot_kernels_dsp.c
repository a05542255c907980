/* Kernels for Armv7E-M and Armv8-M with the DSP extension. */
#include "kit_aot_kernels.h"

#if defined(KIT_ISA_DSP)

#include "kit_aot_dot.h"

void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    kit_aot_dot_conv(layer, window, columns, count);
}

void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    kit_aot_dot_depthwise(layer, window, columns, count);
}

#endif

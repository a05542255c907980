/* Kernels by dot products over weights in the layout `rows`, for any instruction set. */
#ifndef KIT_AOT_DOT_H
#define KIT_AOT_DOT_H

#include "kit_aot_kernels.h"
#include "kit_aot_requantize.h"
#include "kit_dot.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Window and weights run over taps and channels in the same order: one dot product per output, whatever the kernel.
 * Output channels go in pairs; a single last one is computed twice over. */
static inline void kit_aot_dot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const unsigned taps = (unsigned)layer->kernel * layer->in_channels;
    const unsigned channels = layer->out_channels;
    const unsigned distance = (unsigned)layer->stride * layer->in_channels;
    const int32_t *bias = layer->bias;
    const kit_aot_output_t output = kit_aot_output_of(layer);
    for (; count != 0; count--, window += distance, columns += channels) {
        const int8_t *weights = layer->weights;
        for (unsigned channel = 0; channel < channels; channel += 2u, weights += 2u * taps) {
            const unsigned step = channel + 1u < channels ? 1u : 0u;
            kit_dot2_t sums = {bias[channel], bias[channel + step]};
            sums = kit_dot2_s8(sums, weights, weights + step * taps, window, taps);
            columns[channel] = kit_aot_finish(&output, channel, sums.first);
            columns[channel + step] = kit_aot_finish(&output, channel + step, sums.second);
        }
    }
}

static inline void kit_aot_dot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns,
                                         unsigned count)
{
    const unsigned channels = layer->out_channels;
    const unsigned taps = layer->kernel;
    const unsigned distance = layer->stride * channels;
    const int8_t *weights = layer->weights;
    const int32_t *bias = layer->bias;
    const kit_aot_output_t output = kit_aot_output_of(layer);
    for (; count != 0; count--, window += distance, columns += channels) {
        for (unsigned channel = 0; channel < channels; channel++) {
            const int8_t *weight = weights + channel;
            const int8_t *input = window + channel;
            int32_t sum = bias[channel];
            for (unsigned tap = taps; tap != 0; tap--, weight += channels, input += channels) {
                sum += *weight * *input;
            }
            columns[channel] = kit_aot_finish(&output, channel, sum);
        }
    }
}

#ifdef __cplusplus
}
#endif

#endif /* KIT_AOT_DOT_H */

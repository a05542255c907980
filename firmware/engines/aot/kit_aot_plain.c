/* What every instruction set has, and seldom needs. */
#include "kit_aot_kernels.h"
#include "kit_aot_requantize.h"
#include "kit_aot_value.h"

void kit_aot_plain(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const unsigned depthwise = layer->depthwise;
    const unsigned inputs = depthwise ? 1u : layer->in_channels;
    const unsigned weight_step = depthwise ? layer->out_channels : 1u;
    for (; count != 0; count--) {
        const int8_t *row = layer->weights;
        for (unsigned channel = 0; channel < layer->out_channels; channel++) {
            const int8_t *weight = row;
            const int8_t *column = window;
            int32_t sum = layer->bias[channel];
            for (unsigned tap = layer->kernel; tap != 0; tap--, column += layer->in_pitch) {
                for (unsigned input = 0; input < inputs; input++, weight += weight_step) {
                    sum += *weight * kit_aot_get(column, depthwise ? channel : input, layer->in_wide);
                }
            }
            row = depthwise ? row + 1 : weight;
            const int32_t value = kit_aot_requantize(sum, layer->multiplier[channel], layer->shift[channel]);
            kit_aot_set(columns, channel, layer->out_wide,
                        kit_clamp32(value + layer->out_zero_point, layer->act_min, layer->act_max));
        }
        window += (uint32_t)layer->stride * layer->in_pitch;
        columns += layer->out_pitch;
    }
}

void kit_aot_clamp(const kit_aot_layer_t *layer, int8_t *columns, unsigned count)
{
    if (layer->act_min == INT8_MIN && layer->act_max == INT8_MAX) {
        return;
    }
    for (; count != 0; count--, columns += layer->out_pitch) {
        for (unsigned channel = 0; channel < layer->out_channels; channel++) {
            const int32_t value = kit_aot_get(columns, channel, layer->out_wide);
            kit_aot_set(columns, channel, layer->out_wide, kit_clamp32(value, layer->act_min, layer->act_max));
        }
    }
}

#include "kit_aot_kernels.h"

#include "kit_dot.h"

int32_t kit_aot_requantize(int32_t value, int32_t multiplier, int shift)
{
    const int64_t half = (int64_t)1 << 30;
    if (shift >= 0) {
        const int64_t product = (int64_t)(value * ((int32_t)1 << shift)) * multiplier;
        return (int32_t)kit_asr64(product + half, 31);
    }
    const int32_t high = (int32_t)kit_asr64((int64_t)value * multiplier + half, 31);
    /* Halves away from zero are halves up once a negative value is one smaller; the last bit goes separately, so that
     * adding the half cannot overflow. */
    return kit_asr32(kit_asr32(high + kit_asr32(high, 31), (unsigned)-shift - 1u) + 1, 1);
}

/* Where the outputs of a layer go. A copy, because the compiler must suspect every store to the output column of
 * changing whatever it reads through a pointer. */
typedef struct {
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t zero_point;
    int32_t low;
    int32_t high;
} output_t;

static output_t output_of(const kit_aot_layer_t *layer)
{
    const output_t output = {layer->multiplier, layer->shift, layer->out_zero_point, layer->act_min, layer->act_max};
    return output;
}

static int8_t finish(const output_t *output, unsigned channel, int32_t sum)
{
    const int32_t value = kit_aot_requantize(sum, output->multiplier[channel], output->shift[channel]);
    return (int8_t)kit_clamp32(value + output->zero_point, output->low, output->high);
}

/* Window and weights run over taps and channels in the same order: one dot product per output channel, whatever the
 * kernel. Output channels go in pairs; a single last one is computed twice over. */
void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    const unsigned taps = (unsigned)layer->kernel * layer->in_channels;
    const unsigned channels = layer->out_channels;
    const int8_t *weights = layer->weights;
    const int32_t *bias = layer->bias;
    const output_t output = output_of(layer);
    for (unsigned channel = 0; channel < channels; channel += 2u, weights += 2u * taps) {
        const unsigned step = channel + 1u < channels ? 1u : 0u;
        kit_dot2_t sums = {bias[channel], bias[channel + step]};
        sums = kit_dot2_s8(sums, weights, weights + step * taps, window, taps);
        column[channel] = finish(&output, channel, sums.first);
        column[channel + step] = finish(&output, channel + step, sums.second);
    }
}

void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    const unsigned channels = layer->out_channels;
    const unsigned taps = layer->kernel;
    const int8_t *weights = layer->weights;
    const int32_t *bias = layer->bias;
    const output_t output = output_of(layer);
    for (unsigned channel = 0; channel < channels; channel++) {
        const int8_t *weight = weights + channel;
        const int8_t *input = window + channel;
        int32_t sum = bias[channel];
        for (unsigned tap = taps; tap != 0; tap--, weight += channels, input += channels) {
            sum += *weight * *input;
        }
        column[channel] = finish(&output, channel, sum);
    }
}

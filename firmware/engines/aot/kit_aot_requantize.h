/* From accumulators to outputs, in 64-bit arithmetic: for kernels that have nothing better (NUMERICS.md section 3.3). */
#ifndef KIT_AOT_REQUANTIZE_H
#define KIT_AOT_REQUANTIZE_H

#include <stdint.h>

#include "kit_aot.h"
#include "kit_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* round(value * multiplier * 2^(shift - 31)), rounded twice as TensorFlow Lite Micro's reference kernels do: after the
 * high multiplication, halves up, and after the right shift, halves away from zero.
 * multiplier 0 or 2^30 .. 2^31 - 1; shift -31..30; value * 2^shift fits int32 for positive shifts. */
static inline int32_t kit_aot_requantize(int32_t value, int32_t multiplier, int shift)
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

/* Where the outputs of a layer go. A copy, because the compiler must suspect every store to an output column of changing
 * whatever it reads through a pointer. */
typedef struct {
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t zero_point;
    int32_t low;
    int32_t high;
} kit_aot_output_t;

static inline kit_aot_output_t kit_aot_output_of(const kit_aot_layer_t *layer)
{
    const kit_aot_output_t output = {layer->multiplier, layer->shift, layer->out_zero_point, layer->act_min,
                                     layer->act_max};
    return output;
}

/* Output of a channel whose accumulator is `sum`. */
static inline int8_t kit_aot_finish(const kit_aot_output_t *output, unsigned channel, int32_t sum)
{
    const int32_t value = kit_aot_requantize(sum, output->multiplier[channel], output->shift[channel]);
    return (int8_t)kit_clamp32(value + output->zero_point, output->low, output->high);
}

#ifdef __cplusplus
}
#endif

#endif /* KIT_AOT_REQUANTIZE_H */

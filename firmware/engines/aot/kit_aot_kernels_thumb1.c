/* Kernels for Armv6-M and Armv8-M baseline: two output columns share the loads of the weights. Eight low registers leave
 * no room for more, and a loop of four instructions per product is near what the multiplier allows, which overwrites one
 * of its operands. */
#include "kit_aot_kernels.h"

#if defined(KIT_ISA_THUMB1)

#if defined(__OPTIMIZE__) && !defined(__clang__)
#define KIT_AOT_ASSEMBLY 1
#pragma GCC optimize("omit-frame-pointer") /* it takes all the low registers but one */
#endif

#include "kit_aot_small.h"

#if defined(KIT_AOT_ASSEMBLY)
/* One tap of two columns. 16 bytes. */
#define TAP                            \
    "ldrsb %[w], [%[weights], %[at]]\n\t" \
    "ldrsb %[a], [%[x0], %[at]]\n\t"   \
    "ldrsb %[b], [%[x1], %[at]]\n\t"   \
    "muls %[a], %[w]\n\t"              \
    "muls %[b], %[w]\n\t"              \
    "add r8, %[a]\n\t"                 \
    "add r9, %[b]\n\t"                 \
    "adds %[at], #1\n\t"
#define TAP_BYTES 16
#define TAPS 8 /* per turn of the loop */
#endif

/* Accumulators of one channel in two columns. */
typedef struct {
    int32_t first;
    int32_t second;
} sums_t;

/* All pointers to the end of what they run over, `at` the negative number of taps. The accumulators stay in high
 * registers, which can be added to and nothing else. */
static inline sums_t products(int32_t bias, const int8_t *weights, const int8_t *x0, const int8_t *x1, int32_t at)
{
#if defined(KIT_AOT_ASSEMBLY)
    int32_t a = bias;
    int32_t b;
    int32_t w = (at & (TAPS - 1)) * TAP_BYTES;
    __asm__ volatile(".syntax unified\n\t"
                     "mov r8, %[a]\n\t"
                     "mov r9, %[a]\n\t"
                     "add pc, %[w]\n\t"
                     "nop\n"
                     "1:\n\t"
                     TAP TAP TAP TAP TAP TAP TAP TAP
                     "bne 1b\n\t"
                     "mov %[a], r8\n\t"
                     "mov %[b], r9"
                     : [at] "+&l"(at), [a] "+&l"(a), [b] "=&l"(b), [w] "+&l"(w)
                     : [weights] "l"(weights), [x0] "l"(x0), [x1] "l"(x1)
                     : "r8", "r9", "cc", "memory");
#else
    int32_t a = bias;
    int32_t b = bias;
    for (; at != 0; at++) {
        a += weights[at] * x0[at];
        b += weights[at] * x1[at];
    }
#endif
    const sums_t sums = {a, b};
    return sums;
}

void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    if (!layer->small) {
        kit_aot_plain(layer, window, columns, count);
        return;
    }
    const unsigned taps = (unsigned)layer->kernel * layer->in_channels;
    const unsigned channels = layer->out_channels;
    const int32_t *bias = layer->bias;
    const int32_t *multiplier = layer->multiplier;
    const int8_t *shift = layer->shift;
    const int8_t *weights = layer->weights;
    const int32_t zero_point = layer->out_zero_point;
    /* Where there is one column only, both are the same. */
    const int8_t *const x0 = window + taps;
    const int8_t *const x1 = x0 + (count - 1u) * layer->stride * layer->in_pitch;
    int8_t *const column1 = columns + (count - 1u) * layer->out_pitch;
    for (unsigned at = 0; at < channels; at++) {
        weights += taps;
        const sums_t sums = products(bias[at], weights, x0, x1, -(int32_t)taps);
        const kit_aot_small_t channel = kit_aot_small_of(multiplier[at], shift[at], zero_point);
        columns[at] = (int8_t)kit_aot_small(&channel, sums.first);
        column1[at] = (int8_t)kit_aot_small(&channel, sums.second);
    }
    kit_aot_clamp(layer, columns, count);
}

void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    if (!layer->small) {
        kit_aot_plain(layer, window, columns, count);
        return;
    }
    const unsigned channels = layer->out_channels;
    const int32_t *bias = layer->bias;
    const int32_t *multiplier = layer->multiplier;
    const int8_t *shift = layer->shift;
    const int32_t zero_point = layer->out_zero_point;
    const unsigned end = layer->kernel * channels;
    int8_t *column = columns;
    for (unsigned left = count; left != 0; left--) {
        const int8_t *weights = layer->weights;
        const int8_t *x = window;
        for (unsigned first = 0; first < channels; first++, weights++, x++) {
            int32_t sum = bias[first];
            for (unsigned at = 0; at != end; at += channels) {
                sum += weights[at] * x[at];
            }
            const kit_aot_small_t channel = kit_aot_small_of(multiplier[first], shift[first], zero_point);
            column[first] = (int8_t)kit_aot_small(&channel, sum);
        }
        window += (unsigned)layer->stride * layer->in_pitch;
        column += layer->out_pitch;
    }
    kit_aot_clamp(layer, columns, count);
}

#endif

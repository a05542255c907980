/* Kernels for any processor, in plain C: two output columns by four output channels at a time, so that every load serves
 * two or four products. The weights of four channels lie together (layout `quads`). */
#include "kit_aot_kernels.h"

#if defined(KIT_ISA_PORTABLE)

#if defined(__thumb2__) && defined(__OPTIMIZE__) && !defined(__clang__)
#pragma GCC optimize("omit-frame-pointer") /* the assembly below needs every register there is */
#endif

#include "kit_aot_small.h"

#define CHANNELS 4u /* output channels at a time */

/* Accumulators of four channels in two columns. */
typedef struct {
    int32_t first[CHANNELS];
    int32_t second[CHANNELS];
} sums_t;

#if defined(__thumb2__) && defined(__OPTIMIZE__) && !defined(__clang__)
/* One tap on a Cortex-M3, whose compiler otherwise spends a fifth more on moving registers about. 56 bytes. */
#define TAP                                  \
    "ldrsb.w %[a], [%[x0]], #1\n\t"          \
    "ldrsb.w %[b], [%[x1]], #1\n\t"          \
    "ldrsb.w %[w], [%[weights]], #1\n\t"     \
    "mla %[a0], %[w], %[a], %[a0]\n\t"       \
    "mla %[b0], %[w], %[b], %[b0]\n\t"       \
    "ldrsb.w %[w], [%[weights]], #1\n\t"     \
    "mla %[a1], %[w], %[a], %[a1]\n\t"       \
    "mla %[b1], %[w], %[b], %[b1]\n\t"       \
    "ldrsb.w %[w], [%[weights]], #1\n\t"     \
    "mla %[a2], %[w], %[a], %[a2]\n\t"       \
    "mla %[b2], %[w], %[b], %[b2]\n\t"       \
    "ldrsb.w %[w], [%[weights]], #1\n\t"     \
    "mla %[a3], %[w], %[a], %[a3]\n\t"       \
    "mla %[b3], %[w], %[b], %[b3]\n\t"
#define TAP_BYTES 56u
#define TAPS 4u /* per turn of the loop */
#endif

static inline sums_t products(const int8_t *weights, const int8_t *x0, const int8_t *x1, unsigned taps)
{
    int32_t a0 = 0;
    int32_t a1 = 0;
    int32_t a2 = 0;
    int32_t a3 = 0;
    int32_t b0 = 0;
    int32_t b1 = 0;
    int32_t b2 = 0;
    int32_t b3 = 0;
    const int8_t *const end = weights + CHANNELS * taps;
#if defined(__thumb2__) && defined(__OPTIMIZE__) && !defined(__clang__)
    int32_t a = (int32_t)((0u - taps) % TAPS * TAP_BYTES);
    int32_t b;
    int32_t w;
    __asm__ volatile("add pc, %[a]\n\t"
                     "nop\n"
                     "1:\n\t"
                     TAP TAP TAP TAP
                     "ldr %[w], %[end]\n\t"
                     "cmp %[weights], %[w]\n\t"
                     "bne 1b"
                     : [a0] "+&r"(a0), [a1] "+&r"(a1), [a2] "+&r"(a2), [a3] "+&r"(a3), [b0] "+&r"(b0), [b1] "+&r"(b1),
                       [b2] "+&r"(b2), [b3] "+&r"(b3), [weights] "+&r"(weights), [x0] "+&r"(x0), [x1] "+&r"(x1),
                       [a] "+&r"(a), [b] "=&r"(b), [w] "=&r"(w)
                     : [end] "m"(end)
                     : "cc", "memory");
#else
    for (; weights != end; weights += CHANNELS) {
        const int32_t a = *x0++;
        const int32_t b = *x1++;
        a0 += weights[0] * a;
        b0 += weights[0] * b;
        a1 += weights[1] * a;
        b1 += weights[1] * b;
        a2 += weights[2] * a;
        b2 += weights[2] * b;
        a3 += weights[3] * a;
        b3 += weights[3] * b;
    }
#endif
    const sums_t sums = {{a0, a1, a2, a3}, {b0, b1, b2, b3}};
    return sums;
}

void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    if (layer->layout != KIT_AOT_LAYOUT_QUADS) {
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
    const int8_t *const x1 = window + (count - 1u) * layer->stride * layer->in_pitch;
    int8_t *const column1 = columns + (count - 1u) * layer->out_pitch;
    for (unsigned at = 0; at < channels; weights += CHANNELS * taps) {
        const sums_t sums = products(weights, window, x1, taps);
        for (unsigned i = 0; i < CHANNELS && at < channels; i++, at++) {
            const kit_aot_small_t channel = kit_aot_small_of(multiplier[at], shift[at], zero_point);
            columns[at] = (int8_t)kit_aot_small(&channel, bias[at] + sums.first[i]);
            column1[at] = (int8_t)kit_aot_small(&channel, bias[at] + sums.second[i]);
        }
    }
    kit_aot_clamp(layer, columns, count);
}

void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    if (!layer->small || layer->in_wide || layer->out_channels < CHANNELS) {
        kit_aot_plain(layer, window, columns, count);
        return;
    }
    const unsigned channels = layer->out_channels;
    const int32_t *bias = layer->bias;
    const int32_t *multiplier = layer->multiplier;
    const int8_t *shift = layer->shift;
    const int32_t zero_point = layer->out_zero_point;
    int8_t *column = columns;
    for (unsigned left = count; left != 0; left--) {
        for (unsigned first = 0; first < channels; first += CHANNELS) {
            if (first + CHANNELS > channels) {
                first = channels - CHANNELS; /* the last four overlap those before them */
            }
            const int8_t *x = window + first;
            const int8_t *w = (const int8_t *)layer->weights + first;
            int32_t sums[CHANNELS] = {bias[first], bias[first + 1u], bias[first + 2u], bias[first + 3u]};
            for (unsigned tap = layer->kernel; tap != 0; tap--, x += channels, w += channels) {
                sums[0] += x[0] * w[0];
                sums[1] += x[1] * w[1];
                sums[2] += x[2] * w[2];
                sums[3] += x[3] * w[3];
            }
            for (unsigned i = 0; i < CHANNELS; i++) {
                const unsigned at = first + i;
                const kit_aot_small_t channel = kit_aot_small_of(multiplier[at], shift[at], zero_point);
                column[at] = (int8_t)kit_aot_small(&channel, sums[i]);
            }
        }
        window += (unsigned)layer->stride * layer->in_pitch;
        column += layer->out_pitch;
    }
    kit_aot_clamp(layer, columns, count);
}

#endif

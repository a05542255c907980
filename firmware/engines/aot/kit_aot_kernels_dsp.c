/* Kernels for Armv7E-M and Armv8-M with the DSP extension.
 *
 * Weights of two output channels a and b share the 16-bit lanes of a word, each lane holding 256 * a + b (layout
 * `pairs`). SMLAD with the word as it is accumulates R = 256 * A + B modulo 2^32, SMLAD with its sign-extended low bytes
 * (SXTB16) accumulates B, and A = (R - B) / 256, exactly, because the renderer proves |A| < 2^23. So four products take
 * two SMLAD and one SXTB16 of the weights instead of two. The windows hold int16, which needs no unpacking at all. */
#include "kit_aot_kernels.h"

#if defined(KIT_ISA_DSP)

/* The assembly needs every register there is; without optimisation the compiler would keep one or more for itself. */
#if !defined(__clang__)
#pragma GCC optimize("omit-frame-pointer")
#if !defined(__OPTIMIZE__)
#pragma GCC optimize("O2")
#endif
#endif

#include <string.h>

#include "kit_aot_value.h"

/* Four taps of two output columns x two output channels: 16 products. 52 bytes. */
#define QUAD_2X2                              \
    "ldrd %[w0], %[w1], [%[w]], #8\n\t"       \
    "ldrd %[xa], %[xb], [%[x0]], #8\n\t"      \
    "ldrd %[xc], %[xd], [%[x1]], #8\n\t"      \
    "smlad %[r0], %[w0], %[xa], %[r0]\n\t"    \
    "smlad %[r1], %[w0], %[xc], %[r1]\n\t"    \
    "sxtb16 %[w0], %[w0]\n\t"                 \
    "smlad %[r0], %[w1], %[xb], %[r0]\n\t"    \
    "smlad %[r1], %[w1], %[xd], %[r1]\n\t"    \
    "sxtb16 %[w1], %[w1]\n\t"                 \
    "smlad %[s0], %[w0], %[xa], %[s0]\n\t"    \
    "smlad %[s1], %[w0], %[xc], %[s1]\n\t"    \
    "smlad %[s0], %[w1], %[xb], %[s0]\n\t"    \
    "smlad %[s1], %[w1], %[xd], %[s1]\n\t"
#define QUAD_2X2_BYTES 52u
#define QUADS_2X2 8u /* per turn of the loop */

/* What the assembly reads from the stack, for want of registers. */
typedef struct {
    const int8_t *x0;
    const int8_t *x1;
    const int8_t *x_end; /* where x0 ends */
    uint32_t skip;       /* bytes of code to jump over where the quads are no multiple of what the loop takes */
    int32_t zero;        /* 2 * zero point + 1 */
} operands_t;

/* Requantization, for a shift of -n in -22..-1 (NUMERICS.md section 3.6). SMMLAR adds round(2 * sum * multiplier / 2^32),
 * which is h, to its addend: half of 2^n, less one below zero, so that halves round away from zero, and the zero point in
 * units of 2^n. A sum below zero whose h is 0 rounds to 0 all the same. `half` is (2 * zero point + 1) << (n - 1), the
 * lowest byte of `bits` n - 1. The sum of a pair's second channel is B; that of the first comes as 256 * A. */
#define SECOND(sum, multiplier)                         \
    "add %[t], %[half], " sum ", asr #31\n\t"           \
    "lsl " sum ", " sum ", #1\n\t"                      \
    "smmlar %[t], " sum ", " multiplier ", %[t]\n\t"    \
    "asr %[t], %[t], %[bits]\n\t"                       \
    "ssat " sum ", #8, %[t], asr #1\n\t"
#define FIRST(sum, multiplier)                          \
    "add %[t], %[half], " sum ", asr #31\n\t"           \
    "asr " sum ", " sum ", #7\n\t"                      \
    "smmlar %[t], " sum ", " multiplier ", %[t]\n\t"    \
    "asr %[t], %[t], %[bits]\n\t"                       \
    "ssat " sum ", #8, %[t], asr #1\n\t"
#define HALF                                            \
    "ldr %[half], %[zero]\n\t"                          \
    "lsl %[half], %[half], %[bits]\n\t"

/* Two outputs of a column, the first channel in the low half of a word. Of an odd number of channels the last stands
 * alone; columns of int16 have room for both. */
static inline int8_t *put(int8_t *column, uint32_t values, unsigned wide, unsigned channels)
{
    if (wide) {
        memcpy(column, &values, sizeof values);
        return column + 4;
    }
    column[0] = (int8_t)values;
    if (channels > 1u) {
        column[1] = (int8_t)(values >> 16);
    }
    return column + 2;
}

/* Two output columns, two output channels at a time. Where there is one column only, which is rare, both are the same. */
static __attribute__((noinline)) void conv_2x2(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns,
                                               unsigned count)
{
    const unsigned wide = layer->out_wide;
    const unsigned quads = ((unsigned)layer->kernel * layer->in_pitch + 7u) / 8u;
    const int8_t *weights = layer->weights;
    int8_t *column0 = columns;
    int8_t *column1 = columns + (count - 1u) * layer->out_pitch;
    const operands_t operands = {
        window, window + (count - 1u) * layer->stride * layer->in_pitch, window + 8u * quads,
        (0u - quads) % QUADS_2X2 * QUAD_2X2_BYTES, 2 * layer->out_zero_point + 1,
    };
    for (int channels = layer->out_channels; channels > 0; channels -= 2) {
        uint32_t r0;
        uint32_t r1;
        uint32_t s0;
        uint32_t s1;
        uint32_t x0;
        uint32_t x1;
        uint32_t xa;
        uint32_t xb;
        uint32_t xc;
        uint32_t xd;
        uint32_t w0;
        uint32_t w1;
        __asm__ volatile("ldrd %[r0], %[s0], [%[w]], #8\n\t"
                         "ldr %[x0], %[from0]\n\t"
                         "ldr %[x1], %[from1]\n\t"
                         "ldr %[xa], %[skip]\n\t"
                         "mov %[r1], %[r0]\n\t"
                         "mov %[s1], %[s0]\n\t"
                         "add pc, %[xa]\n\t"
                         "nop\n"
                         "1:\n\t"
                         QUAD_2X2 QUAD_2X2 QUAD_2X2 QUAD_2X2 QUAD_2X2 QUAD_2X2 QUAD_2X2 QUAD_2X2
                         "ldr %[xa], %[end]\n\t"
                         "cmp %[x0], %[xa]\n\t"
                         "bne 1b"
                         : [r0] "=&r"(r0), [r1] "=&r"(r1), [s0] "=&r"(s0), [s1] "=&r"(s1), [w] "+&r"(weights),
                           [x0] "=&r"(x0), [x1] "=&r"(x1), [xa] "=&r"(xa), [xb] "=&r"(xb), [xc] "=&r"(xc),
                           [xd] "=&r"(xd), [w0] "=&r"(w0), [w1] "=&r"(w1)
                         : [from0] "m"(operands.x0), [from1] "m"(operands.x1), [end] "m"(operands.x_end),
                           [skip] "m"(operands.skip)
                         : "cc", "memory");
        uint32_t m0;
        uint32_t m1;
        uint32_t bits;
        uint32_t half;
        uint32_t t;
        __asm__ volatile("ldrd %[m0], %[m1], [%[w]], #8\n\t"
                         "ldr %[bits], [%[w]], #4\n\t"
                         "sub %[r0], %[r0], %[s0]\n\t"
                         "sub %[r1], %[r1], %[s1]\n\t"
                         HALF
                         SECOND("%[s0]", "%[m1]")
                         SECOND("%[s1]", "%[m1]")
                         "lsr %[bits], %[bits], #8\n\t"
                         HALF
                         FIRST("%[r0]", "%[m0]")
                         FIRST("%[r1]", "%[m0]")
                         "pkhbt %[r0], %[r0], %[s0], lsl #16\n\t"
                         "pkhbt %[r1], %[r1], %[s1], lsl #16"
                         : [r0] "+&r"(r0), [r1] "+&r"(r1), [s0] "+&r"(s0), [s1] "+&r"(s1), [w] "+&r"(weights),
                           [m0] "=&r"(m0), [m1] "=&r"(m1), [bits] "=&r"(bits), [half] "=&r"(half), [t] "=&r"(t)
                         : [zero] "m"(operands.zero)
                         : "memory");
        column0 = put(column0, r0, wide, (unsigned)channels);
        column1 = put(column1, r1, wide, (unsigned)channels);
    }
    kit_aot_clamp(layer, columns, count);
}

void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    if (layer->layout == KIT_AOT_LAYOUT_PAIRS) {
        conv_2x2(layer, window, columns, count);
    } else {
        kit_aot_plain(layer, window, columns, count);
    }
}

/* One tap of four depthwise channels: 44 bytes. Channels 0 and 2 lie in the even bytes of a word, 1 and 3 in the odd. */
#define TAP_4                                       \
    "ldr %[xo], [%[x]]\n\t"                         \
    "ldr %[wo], [%[w]], #4\n\t"                     \
    "add.w %[x], %[x], %[pitch]\n\t"                \
    "sxtb16 %[xe], %[xo]\n\t"                       \
    "sxtb16 %[we], %[wo]\n\t"                       \
    "sxtb16 %[xo], %[xo], ror #8\n\t"               \
    "sxtb16 %[wo], %[wo], ror #8\n\t"               \
    "smlabb %[s0], %[xe], %[we], %[s0]\n\t"         \
    "smlabb %[s1], %[xo], %[wo], %[s1]\n\t"         \
    "smlatt %[s2], %[xe], %[we], %[s2]\n\t"         \
    "smlatt %[s3], %[xo], %[wo], %[s3]\n\t"
#define TAP_4_BYTES 44u
#define TAPS_4 7u

/* One output column, four channels at a time. Of a last group that is not whole, the kernel computes four channels, on
 * weights 0 and whatever lies behind the column, and stores those that are. */
static __attribute__((noinline)) void depthwise_1x4(const kit_aot_layer_t *layer, const int8_t *window,
                                                    int8_t *columns)
{
    int8_t *column = columns;
    const unsigned wide = layer->out_wide;
    const unsigned taps = layer->kernel;
    const unsigned pitch = layer->in_pitch;
    const int8_t *weights = layer->weights;
    const int32_t zero = 2 * layer->out_zero_point + 1;
    const uint32_t skip = (TAPS_4 - 1u - (taps - 1u) % TAPS_4) * TAP_4_BYTES;
    for (unsigned channels = layer->out_channels;;) {
        const int8_t *x = window;
        const int8_t *const end = weights + 16u + 4u * taps;
        uint32_t s0;
        uint32_t s1;
        uint32_t s2;
        uint32_t s3;
        uint32_t xe = skip;
        uint32_t xo;
        uint32_t we;
        uint32_t wo;
        __asm__ volatile("ldrd %[s0], %[s1], [%[w]], #8\n\t"
                         "ldrd %[s2], %[s3], [%[w]], #8\n\t"
                         "add pc, %[xe]\n\t"
                         "nop\n"
                         "1:\n\t"
                         TAP_4 TAP_4 TAP_4 TAP_4 TAP_4 TAP_4 TAP_4
                         "cmp %[w], %[end]\n\t"
                         "bne 1b"
                         : [s0] "=&r"(s0), [s1] "=&r"(s1), [s2] "=&r"(s2), [s3] "=&r"(s3), [x] "+&r"(x),
                           [w] "+&r"(weights), [xe] "+&r"(xe), [xo] "=&r"(xo), [we] "=&r"(we), [wo] "=&r"(wo)
                         : [pitch] "r"(pitch), [end] "r"(end)
                         : "cc", "memory");
        uint32_t m0;
        uint32_t m1;
        uint32_t bits;
        uint32_t half;
        uint32_t t;
        __asm__ volatile("ldr %[bits], [%[w]], #4\n\t"
                         "ldrd %[m0], %[m1], [%[w]], #8\n\t"
                         HALF
                         SECOND("%[s0]", "%[m0]")
                         "lsr %[bits], %[bits], #8\n\t"
                         HALF
                         SECOND("%[s1]", "%[m1]")
                         "ldrd %[m0], %[m1], [%[w]], #8\n\t"
                         "lsr %[bits], %[bits], #8\n\t"
                         HALF
                         SECOND("%[s2]", "%[m0]")
                         "lsr %[bits], %[bits], #8\n\t"
                         HALF
                         SECOND("%[s3]", "%[m1]")
                         "pkhbt %[s0], %[s0], %[s1], lsl #16\n\t"
                         "pkhbt %[s2], %[s2], %[s3], lsl #16"
                         : [s0] "+&r"(s0), [s1] "+&r"(s1), [s2] "+&r"(s2), [s3] "+&r"(s3), [w] "+&r"(weights),
                           [m0] "=&r"(m0), [m1] "=&r"(m1), [bits] "=&r"(bits), [half] "=&r"(half), [t] "=&r"(t)
                         : [zero] "m"(zero)
                         : "memory");
        window += 4;
        column = put(column, s0, wide, channels);
        if (channels <= 2u) {
            break;
        }
        channels -= 2u;
        column = put(column, s2, wide, channels);
        if (channels <= 2u) {
            break;
        }
        channels -= 2u;
    }
    kit_aot_clamp(layer, columns, 1u);
}

void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    if (layer->layout == KIT_AOT_LAYOUT_LANES) {
        for (unsigned i = 0; i < count; i++) {
            depthwise_1x4(layer, window + i * layer->stride * layer->in_pitch, columns + i * layer->out_pitch);
        }
    } else {
        kit_aot_plain(layer, window, columns, count);
    }
}

#endif

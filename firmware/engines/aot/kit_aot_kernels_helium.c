/* Kernels for Helium (Armv8.1-M with integer MVE): Cortex-M55, M85. They read the weights in layout "helium"
 * (kit/render/layouts/helium.py):
 *
 *     16 bytes                       the first is the finish_t of the layer
 *     for every 4 output channels    (the last group filled up with zero weights)
 *         [block][channel=4][16]     dense: taps of all input channels in blocks of 16; or
 *         [block][channel=4][8]      depthwise: taps in blocks of 8
 *         int32 [3][channel=4]       biases, multipliers, shifts
 *
 * The short block is the first: behind its taps stand zero weights, so that it may read the 16 columns' bytes that are
 * there anyway. Two output columns share every load of weights: 8 products of 16 bytes for 6 loads in the dense inner
 * loop. Accumulators are the eight even general registers, all that VMLADAVA can add to, which leaves none for a
 * low-overhead loop; it turns once for two blocks, 32 multiplications of two beats. */
#include "kit_aot_kernels.h"

#if defined(KIT_ISA_HELIUM)

#include <arm_mve.h>
#include <stdbool.h>

#define GROUP 4u       /* output channels computed together */
#define BLOCK 16u      /* bytes of a vector */
#define TAPS 8u        /* depthwise taps computed together */

#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline)) /* inlined side by side, variants compete for the eight registers */

/* What becomes of the sums: every shift is to the right, by at least one, and negative values become the zero point, as in
 * a layer with ReLU; every shift is to the right, by at least one; or anything. The renderer decides. */
typedef enum { PLAIN, RIGHT, ANY } finish_t;

/* How a layer finishes its sums. */
typedef struct {
    int32x4_t zero_point;
    int32x4_t low;
    int32x4_t high;
} output_t;

/* Where two columns come from and go to; with a single column, both are the same. */
typedef struct {
    const int8_t *weights;
    const int8_t *window;
    const int8_t *window_beside;
    int8_t *column;
    int8_t *column_beside;
    unsigned channels;
    output_t output;
} pair_t;

/* Sums of four channels in two columns. */
typedef struct {
    int32x4_t first;
    int32x4_t second;
} sums_t;

/* Behind the flags. */
INLINE const int8_t *weights_of(const kit_aot_layer_t *layer)
{
    return (const int8_t *)layer->weights + BLOCK;
}

INLINE finish_t finish_of(const kit_aot_layer_t *layer)
{
    return (finish_t)*(const int8_t *)layer->weights;
}

INLINE output_t output_of(const kit_aot_layer_t *layer)
{
    const output_t output = {vdupq_n_s32(layer->out_zero_point), vdupq_n_s32(layer->act_min),
                             vdupq_n_s32(layer->act_max)};
    return output;
}

INLINE pair_t pair_of(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const unsigned beside = count - 1u;
    const pair_t pair = {weights_of(layer),
                         window,
                         window + beside * layer->stride * layer->in_channels,
                         columns,
                         columns + beside * layer->out_channels,
                         layer->out_channels,
                         output_of(layer)};
    return pair;
}

/* Four words, and move on; written out, because the compiler copies the pointer instead. */
INLINE int32x4_t next_words(const int8_t **at)
{
    int32x4_t found;
    __asm__ volatile("vldrb.u8 %q[found], [%[at]], #16" : [found] "=w"(found), [at] "+&r"(*at) : : "memory");
    return found;
}

/* NUMERICS.md sections 3.3 and 3.4 for four channels. VQRDMULH keeps the high word of the doubled product and rounds
 * halves up. So does VRSHL; after taking one from what is negative and to be shifted, its halves are away from zero. */
INLINE int32x4_t finished(const output_t *output, finish_t finish, int32x4_t sum, int32x4_t bias, int32x4_t multiplier,
                          int32x4_t shift)
{
    int32x4_t value = vaddq_s32(sum, bias);
    if (finish == ANY) {
        const int32x4_t none = vdupq_n_s32(0);
        value = vshlq_s32(value, vmaxq_s32(shift, none));
        shift = vminq_s32(shift, none);
    }
    value = vqrdmulhq_s32(value, multiplier);
    if (finish == ANY) {
        value = vaddq_s32(value, vshrq_n_s32(vandq_s32(value, shift), 31));
    } else if (finish == RIGHT) {
        value = vaddq_s32(value, vshrq_n_s32(value, 31));
    }
    value = vaddq_s32(vrshlq_s32(value, shift), output->zero_point);
    return vminq_s32(vmaxq_s32(value, finish == PLAIN ? output->zero_point : output->low), output->high);
}

/* Finish the sums of a group, `weights` being at its biases, and move on to the next group. Stores are predicated by the
 * channels that are left. Returns whether any are left then. Written out, because the compiler copies predicates around and
 * compares once more what the subtraction has told. */
INLINE bool finish_pair(pair_t *pair, finish_t finish, sums_t sums, const int8_t *weights, int *left)
{
    const int32x4_t bias = next_words(&weights);
    const int32x4_t multiplier = next_words(&weights);
    const int32x4_t shift = next_words(&weights);
    const int32x4_t first = finished(&pair->output, finish, sums.first, bias, multiplier, shift);
    const int32x4_t second = finished(&pair->output, finish, sums.second, bias, multiplier, shift);
    int more;
    __asm__ volatile("vctp.32 %[left]\n\t"
                     "vpstt\n\t"
                     "vstrbt.32 %q[first], [%[column]], #4\n\t"
                     "vstrbt.32 %q[second], [%[beside]], #4\n\t"
                     "subs %[left], %[left], #4\n\t"
                     : [column] "+&l"(pair->column), [beside] "+&l"(pair->column_beside), [left] "+&r"(*left),
                       "=@ccgt"(more)
                     : [first] "w"(first), [second] "w"(second)
                     : "memory");
    pair->weights = weights;
    return more != 0;
}

/* One block of four channels and two columns; loads and multiplications alternate, as the two run side by side. */
#define DOT(multiply)                                                                                                  \
    "vldrb.u8 %q[w], [%[weights]], #16\n\t" multiply " r0, %q[w], %q[x]\n\t"                                           \
    "vldrb.u8 %q[v], [%[weights]], #16\n\t" multiply " r8, %q[w], %q[y]\n\t" multiply " r2, %q[v], %q[x]\n\t"          \
    "vldrb.u8 %q[w], [%[weights]], #16\n\t" multiply " r10, %q[v], %q[y]\n\t" multiply " r4, %q[w], %q[x]\n\t"         \
    "vldrb.u8 %q[v], [%[weights]], #16\n\t" multiply " r12, %q[w], %q[y]\n\t" multiply " r6, %q[v], %q[x]\n\t"         \
    multiply " lr, %q[v], %q[y]\n\t"

#define NEXT                                                                                                           \
    "vldrb.u8 %q[x], [%[at]], #16\n\t"                                                                                 \
    "vldrb.u8 %q[y], [%[beside]], #16\n\t" DOT("vmladava.s8")

/* Eight sums from the even registers into two vectors. */
#define COLLECT(first, second)                                                                                         \
    "vmov %q[" first "][2], %q[" first "][0], r0, r4\n\t"                                                              \
    "vmov %q[" first "][3], %q[" first "][1], r2, r6\n\t"                                                              \
    "vmov %q[" second "][2], %q[" second "][0], r8, r12\n\t"                                                           \
    "vmov %q[" second "][3], %q[" second "][1], r10, lr\n\t"

#define EVEN_REGISTERS "r0", "r2", "r4", "r6", "r8", "r10", "r12", "lr"

/* Dot products of a group with two windows, for at least 16 taps: the first block is of `taps`, the `more` others of 16.
 * Returns the weights behind. */
INLINE const int8_t *dot_long(sums_t *sums, const pair_t *pair, unsigned taps, unsigned more)
{
    const int8_t *weights = pair->weights;
    const int8_t *at = pair->window;
    const int8_t *beside = pair->window_beside;
    int8x16_t x;
    int8x16_t y;
    int8x16_t w;
    int8x16_t v;
    __asm__("vldrb.u8 %q[x], [%[at]]\n\t"
            "vldrb.u8 %q[y], [%[beside]]\n\t"
            "add %[at], %[taps]\n\t"
            "add %[beside], %[taps]\n\t" DOT("vmladav.s8")
            "lsrs %[more], %[more], #1\n\t"
            "bcc 1f\n\t" NEXT
            "1:\n\t"
            "beq 3f\n"
            "2:\n\t" NEXT NEXT
            "subs %[more], %[more], #1\n\t"
            "bne 2b\n"
            "3:\n\t" COLLECT("x", "y")
            : [x] "=&w"(x), [y] "=&w"(y), [w] "=&w"(w), [v] "=&w"(v), [weights] "+&r"(weights), [at] "+&r"(at),
              [beside] "+&r"(beside), [more] "+&r"(more)
            : [taps] "r"(taps)
            : "memory", "cc", EVEN_REGISTERS);
    sums->first = vreinterpretq_s32_s8(x);
    sums->second = vreinterpretq_s32_s8(y);
    return weights;
}

/* The same for fewer than 16 taps, which both windows hold in a register. */
INLINE const int8_t *dot_short(sums_t *sums, const int8_t *weights, int8x16_t x, int8x16_t y)
{
    int8x16_t w;
    int8x16_t v;
    __asm__(DOT("vmladav.s8") COLLECT("w", "v")
            : [w] "=&w"(w), [v] "=&w"(v), [weights] "+&r"(weights)
            : [x] "w"(x), [y] "w"(y)
            : "memory", EVEN_REGISTERS);
    sums->first = vreinterpretq_s32_s8(w);
    sums->second = vreinterpretq_s32_s8(v);
    return weights;
}

INLINE void conv_long(pair_t pair, unsigned taps, finish_t finish)
{
    const unsigned more = (taps - 1u) / BLOCK;
    const unsigned first = taps - more * BLOCK;
    int left = (int)pair.channels;
    bool again;
    do {
        sums_t sums;
        const int8_t *weights = dot_long(&sums, &pair, first, more);
        again = finish_pair(&pair, finish, sums, weights, &left);
    } while (again);
}

INLINE void conv_short(pair_t pair, unsigned taps, finish_t finish)
{
    int8x16_t x;
    int8x16_t y;
    __asm__("vctp.8 %[taps]\n\t"
            "vpstt\n\t"
            "vldrbt.u8 %q[x], [%[at]]\n\t"
            "vldrbt.u8 %q[y], [%[beside]]\n\t"
            : [x] "=&w"(x), [y] "=&w"(y)
            : [taps] "r"(taps), [at] "r"(pair.window), [beside] "r"(pair.window_beside)
            : "memory");
    int left = (int)pair.channels;
    bool again;
    do {
        sums_t sums;
        const int8_t *weights = dot_short(&sums, pair.weights, x, y);
        again = finish_pair(&pair, finish, sums, weights, &left);
    } while (again);
}

void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const unsigned taps = (unsigned)layer->kernel * layer->in_channels;
    const pair_t pair = pair_of(layer, window, columns, count);
    const finish_t finish = finish_of(layer);
    if (taps >= BLOCK && finish == PLAIN) {
        conv_long(pair, taps, PLAIN);
    } else if (taps >= BLOCK && finish == RIGHT) {
        conv_long(pair, taps, RIGHT);
    } else if (taps >= BLOCK) {
        conv_long(pair, taps, ANY);
    } else if (finish == PLAIN) {
        conv_short(pair, taps, PLAIN);
    } else {
        conv_short(pair, taps, ANY);
    }
}

/* One channel: taps gathered from rows that lie a column apart. */
#define DOT_DEPTHWISE(sum)                                                                                             \
    "vldrb.s16 %q[w], [%[weights]], #8\n\t"                                                                            \
    "vldrb.s16 %q[x], [%[at], %q[rows]]\n\t"                                                                           \
    "vmladav.s16 " sum ", %q[w], %q[x]\n\t"                                                                            \
    "vadd.i16 %q[rows], %q[rows], %[one]\n\t"

/* Sums of a group over up to 8 taps; `rows` are the offsets of the taps, for which zero weights may follow, and move on
 * to the next group. */
INLINE const int8_t *dot_depthwise(int32x4_t *sums, const int8_t *weights, const int8_t *window, uint16x8_t *rows)
{
    int16x8_t x;
    int16x8_t w;
    uint16x8_t offsets = *rows;
    __asm__(DOT_DEPTHWISE("r0") DOT_DEPTHWISE("r2") DOT_DEPTHWISE("r4") DOT_DEPTHWISE("r6")
            "vmov %q[x][2], %q[x][0], r0, r4\n\t"
            "vmov %q[x][3], %q[x][1], r2, r6\n\t"
            : [x] "=&w"(x), [w] "=&w"(w), [rows] "+&w"(offsets), [weights] "+&l"(weights)
            : [at] "r"(window), [one] "r"(1)
            : "memory", "r0", "r2", "r4", "r6");
    *sums = vreinterpretq_s32_s16(x);
    *rows = offsets;
    return weights;
}

/* The same as finish_pair, for one column; returns the weights of the next group. */
INLINE const int8_t *finish_column(const output_t *output, finish_t finish, int32x4_t sums, const int8_t *weights,
                                   int8_t **column, int left)
{
    const int32x4_t bias = next_words(&weights);
    const int32x4_t multiplier = next_words(&weights);
    const int32x4_t shift = next_words(&weights);
    const int32x4_t value = finished(output, finish, sums, bias, multiplier, shift);
    __asm__ volatile("vctp.32 %[left]\n\t"
                     "vpst\n\t"
                     "vstrbt.32 %q[value], [%[column]], #4\n\t"
                     : [column] "+&l"(*column)
                     : [value] "w"(value), [left] "r"(left)
                     : "memory");
    return weights;
}

/* Offsets of `taps` rows, then of the last of them again. */
static inline uint16x8_t rows_of(unsigned taps, unsigned channels)
{
    const uint16x8_t last = vdupq_n_u16((uint16_t)(taps - 1u));
    return vmulq_n_u16(vminq_u16(vidupq_n_u16(0, 1), last), (uint16_t)channels);
}

/* Up to 8 taps. */
INLINE void depthwise_short(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column, finish_t finish)
{
    const output_t output = output_of(layer);
    const int8_t *weights = weights_of(layer);
    uint16x8_t rows = rows_of(layer->kernel, layer->out_channels);
    for (int left = layer->out_channels; left > 0; left -= (int)GROUP) {
        int32x4_t sums;
        weights = dot_depthwise(&sums, weights, window, &rows);
        weights = finish_column(&output, finish, sums, weights, &column, left);
    }
}

APART void depthwise_long(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    const output_t output = output_of(layer);
    const int8_t *weights = weights_of(layer);
    const unsigned channels = layer->out_channels;
    const unsigned more = (layer->kernel - 1u) / TAPS;
    const unsigned first = layer->kernel - more * TAPS;
    uint16x8_t rows = rows_of(first, channels);
    for (int left = (int)channels; left > 0; left -= (int)GROUP) {
        int32x4_t sums;
        weights = dot_depthwise(&sums, weights, window, &rows);
        const int8_t *at = window + first * channels + (channels - (unsigned)left);
        for (unsigned block = 0; block < more; block++, at += TAPS * channels) {
            int32x4_t others;
            uint16x8_t all = rows_of(TAPS, channels);
            weights = dot_depthwise(&others, weights, at, &all);
            sums = vaddq_s32(sums, others);
        }
        weights = finish_column(&output, ANY, sums, weights, &column, left);
    }
}

APART void depthwise_short_right(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    depthwise_short(layer, window, column, RIGHT);
}

APART void depthwise_short_any(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    depthwise_short(layer, window, column, ANY);
}

/* Each column for itself: the taps of two have hardly a load in common. */
void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const unsigned step = (unsigned)layer->stride * layer->in_channels;
    for (; count != 0; count--, window += step, columns += layer->out_channels) {
        if (layer->kernel <= TAPS && finish_of(layer) != ANY) {
            depthwise_short_right(layer, window, columns);
        } else if (layer->kernel <= TAPS) {
            depthwise_short_any(layer, window, columns);
        } else {
            depthwise_long(layer, window, columns);
        }
    }
}

#endif

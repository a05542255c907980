/* Kernels for x86-64 and AArch64. They read the weights in layout "host" (kit/render/layouts/host.py):
 *
 *     32 bytes                       the first is 0 when every shift of the layer is to the right, by at least one
 *     for every 8 output channels    (the last group filled up with zero weights)
 *         [quad][channel=8][4]       dense: taps of all input channels in fours; or
 *         [tap][channel=8]           depthwise
 *         int32 [4][channel=8]       biases, biases for inputs that 128 was added to, multipliers, shifts
 *
 * Four input bytes are multiplied with four weights of each of eight channels at a time, so that sums need no adding up
 * across a vector. Two output columns share every load of weights. An x86-64 is asked for each batch what it has, which
 * costs two loads: AVX512-VNNI multiplies unsigned bytes by signed ones and adds four products, AVX2 widens to 16 bits; whatever has
 * neither, and AArch64, runs C that compilers vectorise. All of them add the same exact integers. */
#include "kit_aot_kernels.h"

#if defined(KIT_ISA_HOST)

#include <string.h>

#include "kit_aot_requantize.h"

#define GROUP 8u        /* output channels computed together */
#define QUAD 4u         /* taps of a dense layer multiplied together */
#define HEADER_BYTES 32u
#define WORDS_BYTES 128u /* what a group is finished with */

/* What a group is finished with. */
typedef struct {
    int32_t bias[GROUP];
    int32_t unsigned_bias[GROUP];
    int32_t multiplier[GROUP];
    int32_t shift[GROUP];
} words_t;

/* Bytes from the input of an output column to that of the next. */
static inline size_t in_step(const kit_aot_layer_t *layer)
{
    return (size_t)layer->stride * layer->in_channels;
}

/* Behind the flags. */
static inline const int8_t *weights_of(const kit_aot_layer_t *layer)
{
    return (const int8_t *)layer->weights + HEADER_BYTES;
}

/* ---- C for everything else ---- */

static void finish_c(const kit_aot_layer_t *layer, const words_t *words, const int32_t *sums, int8_t *to,
                     unsigned channels)
{
    for (unsigned i = 0; i < channels; i++) {
        const int32_t value = kit_aot_requantize(sums[i], words->multiplier[i], words->shift[i]);
        to[i] = (int8_t)kit_clamp32(value + layer->out_zero_point, layer->act_min, layer->act_max);
    }
}

static inline unsigned at_most(unsigned value, unsigned most)
{
    return value < most ? value : most;
}

static void conv_c(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    const unsigned taps = (unsigned)layer->kernel * layer->in_channels;
    const unsigned channels = layer->out_channels;
    const int8_t *weights = weights_of(layer);
    for (unsigned channel = 0; channel < channels; channel += GROUP) {
        int32_t sums[GROUP] = {0};
        for (unsigned tap = 0; tap < taps; tap += QUAD, weights += GROUP * QUAD) {
            int8_t x[QUAD] = {0};
            memcpy(x, window + tap, at_most(taps - tap, QUAD));
            for (unsigned i = 0; i < GROUP; i++) {
                const int8_t *w = weights + i * QUAD;
                sums[i] += w[0] * x[0] + w[1] * x[1] + w[2] * x[2] + w[3] * x[3];
            }
        }
        words_t words;
        memcpy(&words, weights, sizeof words);
        weights += sizeof words;
        for (unsigned i = 0; i < GROUP; i++) {
            sums[i] += words.bias[i];
        }
        finish_c(layer, &words, sums, column + channel, at_most(channels - channel, GROUP));
    }
}

static void depthwise_c(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    const unsigned channels = layer->out_channels;
    const int8_t *weights = weights_of(layer);
    for (unsigned channel = 0; channel < channels; channel += GROUP) {
        const unsigned left = at_most(channels - channel, GROUP);
        int32_t sums[GROUP] = {0};
        for (unsigned tap = 0; tap < layer->kernel; tap++, weights += GROUP) {
            const int8_t *x = window + (size_t)tap * channels + channel;
            for (unsigned i = 0; i < left; i++) {
                sums[i] += weights[i] * x[i];
            }
        }
        words_t words;
        memcpy(&words, weights, sizeof words);
        weights += sizeof words;
        for (unsigned i = 0; i < left; i++) {
            sums[i] += words.bias[i];
        }
        finish_c(layer, &words, sums, column + channel, left);
    }
}

/* ---- x86-64 ---- */

#if defined(__x86_64__) && !defined(KIT_NO_AVX)

#include <immintrin.h>
#include <stdbool.h>

/* For tests of what a machine would not choose: KIT_NO_VNNI, KIT_NO_AVX. */
#if defined(KIT_NO_VNNI)
#define NO_VNNI 1
#else
#define NO_VNNI 0
#endif

#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline))

#define AVX2_GROUPS 2u /* most groups of a tile: what the registers hold */
#define VNNI_GROUPS 5u

/* How a layer finishes its sums. */
typedef struct {
    __m256i zero_point;
    __m256i low;
    __m256i high;
    bool plain; /* every shift is to the right and no negative value survives the lower clamp, as with ReLU */
    bool full;  /* the clamp is to what int8 holds */
} output_t;

AVX2 INLINE output_t output_of(const kit_aot_layer_t *layer)
{
    const output_t output = {_mm256_set1_epi32(layer->out_zero_point), _mm256_set1_epi32(layer->act_min),
                             _mm256_set1_epi32(layer->act_max),
                             *(const int8_t *)layer->weights == 0 && layer->act_min >= layer->out_zero_point,
                             layer->act_min == INT8_MIN && layer->act_max == INT8_MAX};
    return output;
}

AVX2 INLINE __m256i load(const void *at)
{
    return _mm256_loadu_si256((const __m256i *)at);
}

/* (a * b + 2^30) >> 31 in every lane. */
AVX2 INLINE __m256i high_mul(__m256i a, __m256i b)
{
    const __m256i half = _mm256_set1_epi64x((int64_t)1 << 30);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(a, b), half);
    const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32)), half);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xAA);
}

/* Eight sums with their bias through NUMERICS.md sections 3.3 and 3.4, as kit_aot_requantize. */
AVX2 INLINE __m256i finished(const output_t *output, const int8_t *words, __m256i sum)
{
    const __m256i multiplier = load(words + 2u * GROUP * sizeof(int32_t));
    const __m256i shift = load(words + 3u * GROUP * sizeof(int32_t));
    const __m256i none = _mm256_setzero_si256();
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i but_one = _mm256_sub_epi32(_mm256_sub_epi32(none, shift), one);
    __m256i value;
    if (output->plain) {
        value = high_mul(sum, multiplier);
        value = _mm256_srai_epi32(_mm256_add_epi32(_mm256_srav_epi32(value, but_one), one), 1);
    } else {
        const __m256i high = high_mul(_mm256_sllv_epi32(sum, _mm256_max_epi32(shift, none)), multiplier);
        const __m256i lowered = _mm256_add_epi32(high, _mm256_srai_epi32(high, 31));
        value = _mm256_srai_epi32(_mm256_add_epi32(_mm256_srav_epi32(lowered, but_one), one), 1);
        value = _mm256_blendv_epi8(high, value, _mm256_cmpgt_epi32(none, shift));
    }
    value = _mm256_add_epi32(value, output->zero_point);
    /* store saturates */
    return output->full ? value : _mm256_min_epi32(_mm256_max_epi32(value, output->low), output->high);
}

/* Store the first `channels` of eight values, limited to int8. */
AVX2 INLINE void store(int8_t *to, __m256i value, unsigned channels)
{
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
    const __m128i bytes = _mm_packs_epi16(words, words);
    if (channels >= GROUP) {
        _mm_storel_epi64((__m128i *)(void *)to, bytes);
    } else {
        int8_t all[GROUP];
        _mm_storel_epi64((__m128i *)(void *)all, bytes);
        memcpy(to, all, channels);
    }
}

/* Four bytes. */
INLINE int32_t quad_at(const int8_t *at)
{
    int32_t quad;
    memcpy(&quad, at, sizeof quad);
    return quad;
}

/* The first 1..4 of four bytes, then zeros. */
INLINE int32_t some_at(const int8_t *at, unsigned bytes)
{
    if (bytes == QUAD) {
        return quad_at(at);
    }
    uint32_t quad = (uint8_t)at[0];
    if (bytes > 1u) {
        quad |= (uint32_t)(uint8_t)at[1] << 8;
    }
    if (bytes > 2u) {
        quad |= (uint32_t)(uint8_t)at[2] << 16;
    }
    return (int32_t)quad;
}

/* Two output columns of a layer; with a single one, both are the same. */
typedef struct {
    const int8_t *window[2];
    int8_t *column[2];
} pair_t;

INLINE pair_t pair_of(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const size_t beside = count - 1u;
    const pair_t pair = {{window, window + beside * in_step(layer)},
                         {columns, columns + beside * layer->out_channels}};
    return pair;
}

/* What a tile of groups and two columns works on. */
typedef struct {
    const int8_t *weights;
    size_t group_bytes;
    pair_t pair;
    unsigned taps;
    unsigned channels; /* from the first of the tile on */
} tile_t;

/* For each group of a tile; `groups` is constant wherever it is used. Sums are variables of their own, not arrays: GCC
 * 12 moves every element of an array from register to register in each turn of a loop. */
#define EACH_OF_2(do) \
    do(0) if (groups > 1u) { do(1) }
#define EACH_OF_5(do) \
    EACH_OF_2(do) if (groups > 2u) { do(2) } if (groups > 3u) { do(3) } if (groups > 4u) { do(4) }

/* One quad of taps: x and y hold it for the two columns, widened to 16 bits, four times over. `a` and `b` are channels 0
 * to 3 and 4 to 7 of the first column, `c` and `d` those of the second; two lanes each. */
#define AVX2_CLEAR(i) a##i = b##i = c##i = d##i = _mm256_setzero_si256();
#define AVX2_STEP(i)                                                                                              \
    {                                                                                                             \
        const __m256i low = widened_at(at + (i) * group_bytes);                                                   \
        const __m256i high = widened_at(at + (i) * group_bytes + 16);                                             \
        a##i = _mm256_add_epi32(a##i, _mm256_madd_epi16(x, low));                                                 \
        b##i = _mm256_add_epi32(b##i, _mm256_madd_epi16(x, high));                                                \
        c##i = _mm256_add_epi32(c##i, _mm256_madd_epi16(y, low));                                                 \
        d##i = _mm256_add_epi32(d##i, _mm256_madd_epi16(y, high));                                                \
    }
#define AVX2_FINISH(i)                                                                                            \
    finish_pair(tile, output, (i), _mm256_add_epi32(joined(a##i, b##i), load(words_of(tile, (i)))),               \
                _mm256_add_epi32(joined(c##i, d##i), load(words_of(tile, (i)))));

/* What stands behind the weights of a group of a tile. */
INLINE const int8_t *words_of(const tile_t *tile, unsigned group)
{
    return tile->weights + (group + 1u) * tile->group_bytes - WORDS_BYTES;
}

/* Finish the sums of a group in two columns. */
AVX2 INLINE void finish_pair(const tile_t *tile, const output_t *output, unsigned group, __m256i first, __m256i second)
{
    const int8_t *words = words_of(tile, group);
    const unsigned channels = tile->channels - group * GROUP;
    store(tile->pair.column[0] + group * GROUP, finished(output, words, first), channels);
    store(tile->pair.column[1] + group * GROUP, finished(output, words, second), channels);
}

AVX2 INLINE __m256i widened_at(const int8_t *at)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
}

/* Sums of channels 0 to 3 and 4 to 7 in two lanes each: added up, one lane each. */
AVX2 INLINE __m256i joined(__m256i low, __m256i high)
{
    /* Adding neighbours leaves channels 0 1 4 5 2 3 6 7. */
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(low, high), 0xD8);
}

AVX2 INLINE void avx2_tile(const tile_t *tile, const output_t *output, unsigned groups)
{
    __m256i a0, b0, c0, d0, a1, b1, c1, d1;
    const size_t group_bytes = tile->group_bytes;
    const int8_t *first = tile->pair.window[0];
    const int8_t *second = tile->pair.window[1];
    const unsigned last = (tile->taps - 1u) / QUAD * QUAD;
    const int8_t *at = tile->weights + (size_t)last * GROUP;
    __m256i x = _mm256_cvtepi8_epi16(_mm_set1_epi32(some_at(first + last, tile->taps - last)));
    __m256i y = _mm256_cvtepi8_epi16(_mm_set1_epi32(some_at(second + last, tile->taps - last)));
    EACH_OF_2(AVX2_CLEAR)
    EACH_OF_2(AVX2_STEP)
    at = tile->weights;
    for (const int8_t *end = first + last; first != end; first += QUAD, second += QUAD, at += QUAD * GROUP) {
        x = _mm256_cvtepi8_epi16(_mm_set1_epi32(quad_at(first)));
        y = _mm256_cvtepi8_epi16(_mm_set1_epi32(quad_at(second)));
        EACH_OF_2(AVX2_STEP)
    }
    EACH_OF_2(AVX2_FINISH)
}

/* The same for AVX512-VNNI: x and y hold a quad with 128 added to each byte, `a` and `b` the sums of the columns. */
#define VNNI_BIAS(i) a##i = b##i = load(words_of(tile, (i)) + GROUP * sizeof(int32_t));
#define VNNI_STEP(i)                                                                                              \
    {                                                                                                             \
        const __m256i w = load(at + (i) * group_bytes);                                                           \
        __asm__("vpdpbusd %1, %2, %0" : "+v"(a##i) : "v"(w), "v"(x));                                             \
        __asm__("vpdpbusd %1, %2, %0" : "+v"(b##i) : "v"(w), "v"(y));                                             \
    }
#define VNNI_FINISH(i) finish_pair(tile, output, (i), a##i, b##i);

VNNI INLINE __m256i offset_quad(int32_t quad)
{
    return _mm256_set1_epi32(quad ^ (int32_t)0x80808080u);
}

VNNI INLINE void vnni_tile(const tile_t *tile, const output_t *output, unsigned groups)
{
    __m256i a0, b0, a1, b1, a2, b2, a3, b3, a4, b4;
    const size_t group_bytes = tile->group_bytes;
    const int8_t *first = tile->pair.window[0];
    const int8_t *second = tile->pair.window[1];
    const unsigned last = (tile->taps - 1u) / QUAD * QUAD;
    const int8_t *at = tile->weights + (size_t)last * GROUP;
    __m256i x = offset_quad(some_at(first + last, tile->taps - last));
    __m256i y = offset_quad(some_at(second + last, tile->taps - last));
    EACH_OF_5(VNNI_BIAS)
    EACH_OF_5(VNNI_STEP)
    at = tile->weights;
    for (const int8_t *end = first + last; first != end; first += QUAD, second += QUAD, at += QUAD * GROUP) {
        x = offset_quad(quad_at(first));
        y = offset_quad(quad_at(second));
        EACH_OF_5(VNNI_STEP)
    }
    EACH_OF_5(VNNI_FINISH)
}

/* The tiles of two columns, as even as they can be: the first of them. */
INLINE tile_t tile_of(const kit_aot_layer_t *layer, pair_t pair)
{
    const unsigned taps = (unsigned)layer->kernel * layer->in_channels;
    const size_t quads = (taps + QUAD - 1u) / QUAD;
    const tile_t tile = {weights_of(layer), quads * GROUP * QUAD + WORDS_BYTES, pair, taps,
                         layer->out_channels};
    return tile;
}

/* Move on by a tile; false behind the last. */
INLINE bool next_tile(tile_t *tile, unsigned groups)
{
    if (tile->channels <= groups * GROUP) {
        return false;
    }
    tile->weights += groups * tile->group_bytes;
    tile->pair.column[0] += groups * GROUP;
    tile->pair.column[1] += groups * GROUP;
    tile->channels -= groups * GROUP;
    return true;
}

AVX2 static void conv_avx2(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const output_t output = output_of(layer);
    const unsigned groups = AVX2_GROUPS;
    tile_t tile = tile_of(layer, pair_of(layer, window, columns, count));
    do {
        if (tile.channels <= GROUP) {
            avx2_tile(&tile, &output, 1u);
        } else {
            avx2_tile(&tile, &output, AVX2_GROUPS);
        }
    } while (next_tile(&tile, groups));
}

VNNI static void conv_vnni(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    const output_t output = output_of(layer);
    tile_t tile = tile_of(layer, pair_of(layer, window, columns, count));
    const unsigned all = (tile.channels + GROUP - 1u) / GROUP;
    const unsigned tiles = (all + VNNI_GROUPS - 1u) / VNNI_GROUPS;
    const unsigned most = (all + tiles - 1u) / tiles;
    unsigned groups;
    do {
        groups = at_most((tile.channels + GROUP - 1u) / GROUP, most);
        switch (groups) {
        case 1u:
            vnni_tile(&tile, &output, 1u);
            break;
        case 2u:
            vnni_tile(&tile, &output, 2u);
            break;
        case 3u:
            vnni_tile(&tile, &output, 3u);
            break;
        case 4u:
            vnni_tile(&tile, &output, 4u);
            break;
        default:
            vnni_tile(&tile, &output, 5u);
            break;
        }
    } while (next_tile(&tile, groups));
}

AVX2 static void depthwise_avx2(const kit_aot_layer_t *layer, const int8_t *window, int8_t *column)
{
    const output_t output = output_of(layer);
    const unsigned channels = layer->out_channels;
    const int8_t *weights = weights_of(layer);
    for (unsigned channel = 0; channel < channels; channel += GROUP) {
        const unsigned left = channels - channel;
        const int8_t *at = window + channel;
        __m256i sum = load(weights + (size_t)layer->kernel * GROUP);
        for (unsigned tap = 0; tap < layer->kernel; tap++, at += channels, weights += GROUP) {
            int64_t x = 0;
            if (left >= GROUP) {
                memcpy(&x, at, GROUP);
            } else {
                memcpy(&x, at, left);
            }
            const __m256i w = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)weights));
            sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(w, _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(x))));
        }
        store(column + channel, finished(&output, weights, sum), left);
        weights += WORDS_BYTES;
    }
}

#endif

/* ---- which of them ---- */

void kit_aot_conv(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
#if defined(__x86_64__) && !defined(KIT_NO_AVX)
    if (!NO_VNNI && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl")) {
        conv_vnni(layer, window, columns, count);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        conv_avx2(layer, window, columns, count);
        return;
    }
#endif
    for (; count != 0; count--, window += in_step(layer), columns += layer->out_channels) {
        conv_c(layer, window, columns);
    }
}

void kit_aot_depthwise(const kit_aot_layer_t *layer, const int8_t *window, int8_t *columns, unsigned count)
{
    for (; count != 0; count--, window += in_step(layer), columns += layer->out_channels) {
#if defined(__x86_64__) && !defined(KIT_NO_AVX)
        if (__builtin_cpu_supports("avx2")) {
            depthwise_avx2(layer, window, columns);
            continue;
        }
#endif
        depthwise_c(layer, window, columns);
    }
}

#endif

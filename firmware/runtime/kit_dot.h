/* Dot products of one vector with two rows of a table at a time: what the encoder and the search spend their time in.
 * Two rows share the loads of the vector. All variants add the same exact integers, so that they differ in speed only:
 *     Helium    Cortex-M55, M85: 16 (int8) or 8 (int16) products per instruction
 *     DSP       Cortex-M4, M7, M33: 2 products per instruction
 *     portable  everything else
 * KIT_NO_SIMD selects the portable one. No sum may leave int32 at any point; the checks of graph and codebook prove it
 * for every table (NUMERICS.md sections 3.2 and 4.3). */
#ifndef KIT_DOT_H
#define KIT_DOT_H

#include <stdint.h>

#if defined(__ARM_FEATURE_MVE) && !defined(KIT_NO_SIMD)
#define KIT_DOT_HELIUM 1
#include <arm_mve.h>
#elif defined(__ARM_FEATURE_DSP) && !defined(__ARM_BIG_ENDIAN) && defined(__GNUC__) && !defined(KIT_NO_SIMD)
#define KIT_DOT_DSP 1
#include <string.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Sums of the two rows. */
typedef struct {
    int32_t first;
    int32_t second;
} kit_dot2_t;

#if defined(KIT_DOT_DSP)

/* Word at any address; these cores load it in one instruction. */
static inline uint32_t kit_dot_word(const void *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Bytes 0 and 2 as two int16. */
static inline uint32_t kit_dot_even(uint32_t bytes)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(bytes));
    return pair;
}

/* Bytes 1 and 3 as two int16. */
static inline uint32_t kit_dot_odd(uint32_t bytes)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(bytes));
    return pair;
}

/* sum + a.low * b.low + a.high * b.high. */
static inline int32_t kit_dot_pair(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t total;
    __asm__("smlad %0, %1, %2, %3" : "=r"(total) : "r"(a), "r"(b), "r"(sum));
    return total;
}

#endif

/* sums + vector . first and vector . second; `count` values each. */
static inline kit_dot2_t kit_dot2_s8(kit_dot2_t sums, const int8_t *first, const int8_t *second, const int8_t *vector,
                                     unsigned count)
{
#if defined(KIT_DOT_HELIUM)
    for (; count >= 16u; count -= 16u, first += 16, second += 16, vector += 16) {
        const int8x16_t values = vldrbq_s8(vector);
        sums.first = vmladavaq_s8(sums.first, vldrbq_s8(first), values);
        sums.second = vmladavaq_s8(sums.second, vldrbq_s8(second), values);
    }
    if (count != 0) {
        const mve_pred16_t tail = vctp8q(count);
        const int8x16_t values = vldrbq_z_s8(vector, tail);
        sums.first = vmladavaq_p_s8(sums.first, vldrbq_z_s8(first, tail), values, tail);
        sums.second = vmladavaq_p_s8(sums.second, vldrbq_z_s8(second, tail), values, tail);
    }
#else
#if defined(KIT_DOT_DSP)
    for (; count >= 4u; count -= 4u, first += 4, second += 4, vector += 4) {
        const uint32_t values = kit_dot_word(vector);
        const uint32_t even = kit_dot_even(values);
        const uint32_t odd = kit_dot_odd(values);
        const uint32_t a = kit_dot_word(first);
        const uint32_t b = kit_dot_word(second);
        sums.first = kit_dot_pair(kit_dot_even(a), even, sums.first);
        sums.second = kit_dot_pair(kit_dot_even(b), even, sums.second);
        sums.first = kit_dot_pair(kit_dot_odd(a), odd, sums.first);
        sums.second = kit_dot_pair(kit_dot_odd(b), odd, sums.second);
    }
#elif !defined(__thumb__) || defined(__thumb2__) /* Thumb-1 has too few registers for it */
    for (; count >= 4u; count -= 4u, first += 4, second += 4, vector += 4) {
        sums.first += first[0] * vector[0];
        sums.second += second[0] * vector[0];
        sums.first += first[1] * vector[1];
        sums.second += second[1] * vector[1];
        sums.first += first[2] * vector[2];
        sums.second += second[2] * vector[2];
        sums.first += first[3] * vector[3];
        sums.second += second[3] * vector[3];
    }
#endif
    for (; count != 0; count--, vector++) {
        sums.first += *first++ * *vector;
        sums.second += *second++ * *vector;
    }
#endif
    return sums;
}

/* The same for int8 rows and an int16 vector. */
static inline kit_dot2_t kit_dot2_s8_s16(const int8_t *first, const int8_t *second, const int16_t *vector,
                                         unsigned count)
{
    kit_dot2_t sums = {0, 0};
#if defined(KIT_DOT_HELIUM)
    for (; count >= 8u; count -= 8u, first += 8, second += 8, vector += 8) {
        const int16x8_t values = vldrhq_s16(vector);
        sums.first = vmladavaq_s16(sums.first, vldrbq_s16(first), values);
        sums.second = vmladavaq_s16(sums.second, vldrbq_s16(second), values);
    }
    if (count != 0) {
        const mve_pred16_t tail = vctp16q(count);
        const int16x8_t values = vldrhq_z_s16(vector, tail);
        sums.first = vmladavaq_p_s16(sums.first, vldrbq_z_s16(first, tail), values, tail);
        sums.second = vmladavaq_p_s16(sums.second, vldrbq_z_s16(second, tail), values, tail);
    }
#else
#if defined(KIT_DOT_DSP)
    for (; count >= 4u; count -= 4u, first += 4, second += 4, vector += 4) {
        const uint32_t low = kit_dot_word(vector);
        const uint32_t high = kit_dot_word(vector + 2);
        const uint32_t even = (low & 0xFFFFu) | (high << 16);
        const uint32_t odd = (low >> 16) | (high & 0xFFFF0000u);
        const uint32_t a = kit_dot_word(first);
        const uint32_t b = kit_dot_word(second);
        sums.first = kit_dot_pair(kit_dot_even(a), even, sums.first);
        sums.second = kit_dot_pair(kit_dot_even(b), even, sums.second);
        sums.first = kit_dot_pair(kit_dot_odd(a), odd, sums.first);
        sums.second = kit_dot_pair(kit_dot_odd(b), odd, sums.second);
    }
#endif
    for (; count != 0; count--, vector++) {
        sums.first += *first++ * *vector;
        sums.second += *second++ * *vector;
    }
#endif
    return sums;
}

/* The same for int16 rows and an int16 vector. */
static inline kit_dot2_t kit_dot2_s16(const int16_t *first, const int16_t *second, const int16_t *vector,
                                      unsigned count)
{
    kit_dot2_t sums = {0, 0};
#if defined(KIT_DOT_HELIUM)
    for (; count >= 8u; count -= 8u, first += 8, second += 8, vector += 8) {
        const int16x8_t values = vldrhq_s16(vector);
        sums.first = vmladavaq_s16(sums.first, vldrhq_s16(first), values);
        sums.second = vmladavaq_s16(sums.second, vldrhq_s16(second), values);
    }
    if (count != 0) {
        const mve_pred16_t tail = vctp16q(count);
        const int16x8_t values = vldrhq_z_s16(vector, tail);
        sums.first = vmladavaq_p_s16(sums.first, vldrhq_z_s16(first, tail), values, tail);
        sums.second = vmladavaq_p_s16(sums.second, vldrhq_z_s16(second, tail), values, tail);
    }
#else
#if defined(KIT_DOT_DSP)
    for (; count >= 2u; count -= 2u, first += 2, second += 2, vector += 2) {
        const uint32_t values = kit_dot_word(vector);
        sums.first = kit_dot_pair(kit_dot_word(first), values, sums.first);
        sums.second = kit_dot_pair(kit_dot_word(second), values, sums.second);
    }
#endif
    for (; count != 0; count--, vector++) {
        sums.first += *first++ * *vector;
        sums.second += *second++ * *vector;
    }
#endif
    return sums;
}

#ifdef __cplusplus
}
#endif

#endif /* KIT_DOT_H */

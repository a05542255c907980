/* Requantization of layers that the renderer proved small: accumulators below 2^23 in magnitude, shifts in -22..-1
 * (NUMERICS.md section 3.6). */
#ifndef KIT_AOT_SMALL_H
#define KIT_AOT_SMALL_H

#include <stdint.h>

#include "kit_aot.h"
#include "kit_common.h"
#include "kit_isa.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Requantization of one channel. */
typedef struct {
    int32_t multiplier;
    int32_t half;  /* (2 * zero point + 1) << (n - 1): half of 2^n, and the zero point in units of 2^n */
    unsigned bits; /* n - 1 */
} kit_aot_small_t;

static inline kit_aot_small_t kit_aot_small_of(int32_t multiplier, int32_t shift, int32_t zero_point)
{
    kit_aot_small_t channel;
    channel.multiplier = multiplier;
    channel.bits = (unsigned)~shift;
    channel.half = (int32_t)((uint32_t)(2 * zero_point + 1) << channel.bits);
    return channel;
}

/* (value * multiplier + 2^30) >> 31, |value| < 2^29. */
static inline int32_t kit_aot_high(int32_t value, int32_t multiplier)
{
#if defined(KIT_ISA_THUMB1)
    /* Four products of 16 bits; the low half of the value is signed, so that every sum fits int32. */
    const int32_t low = (int16_t)value;
    const int32_t high = kit_asr32(value - low, 16);
    const int32_t multiplier_low = (int32_t)((uint32_t)multiplier & 0xFFFFu);
    const int32_t multiplier_high = kit_asr32(multiplier, 16);
    const int32_t middle =
        high * multiplier_low + low * multiplier_high + kit_asr32(low * multiplier_low, 16) + (1 << 14);
    return 2 * high * multiplier_high + kit_asr32(middle, 15);
#else
    const int64_t product = (int64_t)(2 * value) * multiplier;
    return (int32_t)kit_asr64(product, 32) + (int32_t)((uint32_t)product >> 31);
#endif
}

/* Output, zero point included and saturated to int8. Adding the half rounds halves up, and less one below zero it rounds
 * them away from zero; an accumulator below zero whose high product is 0 rounds to 0 all the same. */
static inline int32_t kit_aot_small(const kit_aot_small_t *channel, int32_t sum)
{
    const int32_t rounded =
        kit_aot_high(sum, channel->multiplier) + (channel->half + kit_asr32(sum, 31));
    const int32_t value = kit_asr32(kit_asr32(rounded, channel->bits), 1);
#if defined(__ARM_ARCH_7M__) && defined(__GNUC__)
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(value));
    return result;
#else
    return kit_clamp32(value, INT8_MIN, INT8_MAX);
#endif
}

#ifdef __cplusplus
}
#endif

#endif /* KIT_AOT_SMALL_H */

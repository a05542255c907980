/* The recurrent network that weighs the groups of the first level by those of the positions before (NUMERICS.md section
 * 7.4). Included by kit_coding.c alone. */
#ifndef KIT_CODING_NETWORK_H
#define KIT_CODING_NETWORK_H

#include "kit_coding.h"

#if KIT_CODING_NETWORK

#include <string.h>

#include "kit_isa.h"

#if defined(KIT_ISA_HELIUM)
#include <arm_mve.h>
#endif

#define KIT_CODING_STEPS_MAX 255
#define KIT_CODING_UNIT_SHIFT 6u  /* from products of inputs and weights to what a unit gives */
#define KIT_CODING_LOGIT_SHIFT 6u /* from products of units and weights to sixteenths of a bit */
#define KIT_CODING_NETWORK_SCALE_BITS 16u

/* sum + a . b, int8 vectors of n coordinates. */
static inline int32_t kit_coding_dot(int32_t sum, const int8_t *a, const int8_t *b, unsigned n)
{
#if defined(KIT_ISA_HELIUM)
    for (int left = (int)n; left > 0; left -= 16, a += 16, b += 16) {
        const mve_pred16_t some = vctp8q((uint32_t)left);
        sum = vmladavaq_p_s8(sum, vldrbq_z_s8(a, some), vldrbq_z_s8(b, some), some);
    }
#else
#if defined(KIT_ISA_DSP)
    for (; n >= 4u; n -= 4u, a += 4, b += 4) {
        uint32_t left;
        uint32_t right;
        uint32_t odd_left;
        uint32_t odd_right;
        memcpy(&left, a, sizeof left);
        memcpy(&right, b, sizeof right);
        __asm__("sxtb16 %[ol], %[l], ror #8\n\t"
                "sxtb16 %[or], %[r], ror #8\n\t"
                "sxtb16 %[l], %[l]\n\t"
                "sxtb16 %[r], %[r]\n\t"
                "smlad %[sum], %[ol], %[or], %[sum]\n\t"
                "smlad %[sum], %[l], %[r], %[sum]"
                : [sum] "+r"(sum), [l] "+r"(left), [r] "+r"(right), [ol] "=&r"(odd_left), [or] "=&r"(odd_right));
    }
#endif
    for (; n != 0; n--) {
        sum += *a++ * *b++;
    }
#endif
    return sum;
}

/* What the units give at the next position, 0 .. 127 each: `units` holds what they gave at the position before, whose
 * group is `before`. */
static inline void kit_coding_step(const kit_coding_network_t *network, unsigned before, int8_t *units)
{
    int8_t inputs[KIT_CODING_WIDTH_MAX + KIT_CODING_UNITS_MAX];
    const unsigned width = network->width;
    const unsigned count = width + network->units;
    memcpy(inputs, network->embedding + before * width, width);
    memcpy(inputs + width, units, network->units);
    for (unsigned unit = 0; unit < network->units; unit++) {
        const int32_t sum = kit_coding_dot(network->unit_bias[unit], network->recurrent + unit * count, inputs, count);
        units[unit] = (int8_t)kit_clamp32(kit_asr32(sum, KIT_CODING_UNIT_SHIFT), 0, INT8_MAX);
    }
}

/* How far the logarithm of a group's weight lies above others, in sixteenths of a bit: |result| <= 8640. */
static inline int16_t kit_coding_logit(const kit_coding_network_t *network, const int8_t *units, unsigned group)
{
    const int8_t *row = network->output + group * network->units;
    const int32_t sum = kit_coding_dot(network->output_bias[group], row, units, network->units);
    return (int16_t)kit_asr32(sum, KIT_CODING_LOGIT_SHIFT);
}

/* Weight of a group that lies so many steps below the best one. */
static inline uint32_t kit_coding_weight(int32_t below)
{
    /* 2^12 * 2^(-i / 16) */
    static const uint16_t MANTISSAS[16] = {4096, 3922, 3756, 3597, 3444, 3298, 3158, 3025,
                                           2896, 2774, 2656, 2543, 2435, 2332, 2233, 2139};
    const unsigned steps = (unsigned)(below < KIT_CODING_STEPS_MAX ? below : KIT_CODING_STEPS_MAX);
    return (uint32_t)MANTISSAS[steps & 15u] >> (steps >> 4);
}

/* Where the part of `group` among `groups` begins and ends, in units of 2^-14. */
static inline void kit_coding_predict(const kit_coding_network_t *network, const int8_t *units, unsigned groups,
                                      unsigned group, uint32_t *begin, uint32_t *end)
{
    int16_t logits[KIT_CODING_GROUPS_MAX];
    int16_t best = INT16_MIN;
    uint32_t below = 0;
    uint32_t total = 0;
    uint32_t own = 0;
    for (unsigned i = 0; i < groups; i++) {
        logits[i] = kit_coding_logit(network, units, i);
        best = logits[i] > best ? logits[i] : best;
    }
    for (unsigned i = 0; i < groups; i++) {
        const uint32_t weight = kit_coding_weight(best - logits[i]);
        below = i == group ? total : below;
        own = i == group ? weight : own;
        total += weight;
    }
    const uint32_t scale = ((((uint32_t)1 << KIT_CODING_TOTAL_BITS) - groups) << KIT_CODING_NETWORK_SCALE_BITS) / total;
    *begin = group + ((below * scale) >> KIT_CODING_NETWORK_SCALE_BITS);
    *end = group + 1u + (((below + own) * scale) >> KIT_CODING_NETWORK_SCALE_BITS);
}

#endif

#endif /* KIT_CODING_NETWORK_H */

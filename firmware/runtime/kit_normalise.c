#include "kit_normalise.h"

#include <string.h>

#define SCALE_CODE_MAX 255u

/* R[mant] = round(2^17 / (8 + mant)): multiplying by it and shifting divides by the scale. */
static const uint16_t reciprocal[8] = {16384u, 14564u, 13107u, 11916u, 10923u, 10082u, 9362u, 8738u};

/* What a scale must cover. */
typedef struct {
    uint64_t energy;  /* E, sum of squared deviations, ADC codes squared, below 2^62 */
    uint32_t peak;    /* p, largest deviation, ADC codes, at most 2^24 */
    uint16_t samples; /* T */
    uint8_t lsb_bits; /* L */
} amplitude_t;

void kit_statistics_begin(kit_statistics_t *statistics)
{
    statistics->sum = 0;
    statistics->squares = 0;
    statistics->low = 0;
    statistics->high = 0;
    statistics->samples = 0;
}

void kit_statistics_add(kit_statistics_t *statistics, kit_sample_t sample)
{
    const int32_t value = sample;
    if (statistics->samples == 0) {
        statistics->low = sample;
        statistics->high = sample;
    } else if (sample < statistics->low) {
        statistics->low = sample;
    } else if (sample > statistics->high) {
        statistics->high = sample;
    }
    statistics->sum += value;
#if KIT_SAMPLE_BITS == 16
    statistics->squares += value * value;
#else
    statistics->squares += (int64_t)value * value;
#endif
    statistics->samples++;
}

static int64_t floor_div(int64_t dividend, int64_t divisor)
{
    const int64_t quotient = dividend / divisor;
    return quotient - ((dividend % divisor) < 0 ? 1 : 0);
}

/* Condition (a): T * (8 + mant)^2 * 2^(2 exp) >= 1024 * E, that is: the scale is at least the standard deviation.
 * Divided by 2^(2 exp) and rounded up on the right, which keeps it exact and inside 64 bits: the left side stays below
 * 2^20, so that an E of 2^20 or more that would have to be shifted left cannot meet it. */
static int covers_deviation(const amplitude_t *amplitude, uint32_t significand, unsigned exponent)
{
    const uint64_t have = (uint64_t)(amplitude->samples * significand * significand);
    const unsigned twice = 2u * exponent;
    if (twice < 10u) {
        return amplitude->energy < ((uint64_t)1 << 20) && have >= amplitude->energy << (10u - twice);
    }
    const unsigned shift = twice - 10u;
    const uint64_t rest = ((uint64_t)1 << shift) - 1u;
    return have >= (amplitude->energy >> shift) + ((amplitude->energy & rest) != 0 ? 1u : 0u);
}

/* Condition (b): 127 * (8 + mant) * 2^exp >= 32 * 2^L * p, that is: no sample saturates. */
static int covers_peak(const amplitude_t *amplitude, uint32_t significand, unsigned exponent)
{
    const uint64_t have = (uint64_t)(127u * significand) << exponent;
    return have >= (uint64_t)amplitude->peak << (5u + amplitude->lsb_bits);
}

/* Smallest scale code that meets both conditions; each holds from some code on, so that halving finds it. */
static unsigned smallest_code(const amplitude_t *amplitude)
{
    unsigned low = 1;
    unsigned high = SCALE_CODE_MAX;
    while (low < high) {
        const unsigned code = (low + high) / 2u;
        const uint32_t significand = 8u + ((code - 1u) & 7u);
        const unsigned exponent = (code - 1u) >> 3;
        if (covers_peak(amplitude, significand, exponent) && covers_deviation(amplitude, significand, exponent)) {
            high = code;
        } else {
            low = code + 1u;
        }
    }
    return low;
}

void kit_scale_of(kit_scale_t *scale, const kit_statistics_t *statistics, unsigned lsb_bits)
{
    const int64_t samples = statistics->samples;
    memset(scale, 0, sizeof *scale);
    if (samples == 0) {
        return;
    }
    scale->mean = (int32_t)floor_div(2 * statistics->sum + samples, 2 * samples);
    const int32_t above = statistics->high - scale->mean;
    const int32_t below = scale->mean - statistics->low;
    amplitude_t amplitude;
    amplitude.peak = (uint32_t)(above > below ? above : below);
    if (amplitude.peak == 0) {
        return;
    }
    /* sum (x - m)^2 = sum x^2 - m * (2 * sum x - T * m), exact in integers; no term exceeds 2^60. */
    const int64_t mean = scale->mean;
    amplitude.energy = (uint64_t)(statistics->squares - mean * (2 * statistics->sum - samples * mean));
    amplitude.samples = statistics->samples;
    amplitude.lsb_bits = (uint8_t)lsb_bits;
    const unsigned code = smallest_code(&amplitude);
    scale->scale_code = (uint8_t)code;
    scale->factor = reciprocal[(code - 1u) & 7u];
    scale->shift = (uint8_t)(((code - 1u) >> 3) + 12u - lsb_bits);
}

/* Rounded quotient of a sample's deviation and the scale, with 2^(L + Q) steps per unit. */
static int32_t fine_quotient(kit_scale_t *scale, kit_sample_t sample)
{
    const int32_t deviation = sample - scale->mean;
    const unsigned shift = (unsigned)scale->shift - scale->remainder_bits;
    const kit_carry_t half = (kit_carry_t)1 << (shift - 1u);
    /* 16 bits: |deviation| <= 65535 and R <= 16384, so that the product stays below 2^30; half and |carry| are at most
     * 2^26. Wider samples have 64 bits to themselves (section 2.5). */
    const kit_carry_t product = (kit_carry_t)deviation * scale->factor + scale->carry + half;
    if (scale->shaping != KIT_SHAPING_NONE) {
        scale->carry = (product & (2 * half - 1)) - half;
    }
#if KIT_SAMPLE_BITS == 16
    return kit_asr32(product, shift);
#else
    /* The peak condition bounds the quotient near 2^(7 + Q), far inside 32 bits. */
    return (int32_t)kit_asr64(product, shift);
#endif
}

const int8_t *kit_normalise(kit_scale_t *scale, kit_sample_t sample)
{
    if (scale->scale_code == 0) { /* flat frame */
        scale->column[0] = 0;
        scale->column[1] = 0;
        return scale->column;
    }
    const unsigned bits = scale->remainder_bits;
    const int32_t quotient = fine_quotient(scale, sample);
    if (bits == 0) {
        scale->column[0] = (int8_t)kit_clamp32(quotient, INT8_MIN, INT8_MAX);
    } else {
        const int32_t value = kit_clamp32(kit_asr32(quotient + (1 << (bits - 1u)), bits), INT8_MIN, INT8_MAX);
        scale->column[0] = (int8_t)value;
        scale->column[1] = (int8_t)(quotient - value * (1 << bits)); /* at most 2^(Q - 1) in magnitude, clamped or not */
    }
    return scale->column;
}

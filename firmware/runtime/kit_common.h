/* What every part of the runtime stands on: the ABI number, compile-time checks and portable integer helpers. */
#ifndef KIT_COMMON_H
#define KIT_COMMON_H

#include <stdint.h>

#include "kit_config.h"

/* Raised whenever a rendered table or the layout of a structure that rendered code names changes its meaning.
 * Every rendered file was made for one number and refuses any other. */
#define KIT_RUNTIME_ABI 8

/* Channels of the encoder's input, at most: a sample's value, and what its rounding leaves. */
#define KIT_INPUT_CHANNELS_MAX 2

/* Compile-time check with one spelling for C99, C11 and C++; `name` is an identifier that says what must hold. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define KIT_STATIC_ASSERT(condition, name) static_assert(condition, #name)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define KIT_STATIC_ASSERT(condition, name) _Static_assert(condition, #name)
#else
#define KIT_STATIC_ASSERT(condition, name) extern char kit_assert_##name[(condition) ? 1 : -1]
#endif

/* Alignment of a table in bytes, with one spelling for C99, C11 and C++. */
#if defined(__cplusplus) && __cplusplus >= 201103L
#define KIT_ALIGN(bytes) alignas(bytes)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define KIT_ALIGN(bytes) _Alignas(bytes)
#elif defined(__GNUC__) || defined(__clang__)
#define KIT_ALIGN(bytes) __attribute__((aligned(bytes)))
#else
#error "kit: define KIT_ALIGN for this compiler, or compile as C11"
#endif

/* Keeps the compiler from moving memory accesses across it. Enough between a main loop and an interrupt of one core;
 * where kit_codec_push runs on another core, define KIT_BARRIER as that machine's data memory barrier. */
#if !defined(KIT_BARRIER)
#if defined(__GNUC__) || defined(__clang__)
#define KIT_BARRIER() __asm__ volatile("" ::: "memory")
#else
#error "kit: define KIT_BARRIER() as a compiler barrier for this compiler"
#endif
#endif

/* Keeps a function apart where inlining it would crowd registers out of a loop. */
#if defined(__GNUC__) || defined(__clang__)
#define KIT_NOINLINE __attribute__((noinline))
#else
#define KIT_NOINLINE
#endif

/* One raw sample in ADC codes. The container is as wide as the widest sensor of the firmware needs. */
#if KIT_SAMPLE_BITS == 16
typedef int16_t kit_sample_t;
#elif KIT_SAMPLE_BITS == 32
typedef int32_t kit_sample_t;
#else
#error "kit: KIT_SAMPLE_BITS must be 16 or 32; rerun kit build-firmware"
#endif

/* Integer conventions (NUMERICS.md section 1). */
KIT_STATIC_ASSERT((-1 & 3) == 3, integers_are_twos_complement);
KIT_STATIC_ASSERT((-1 >> 1) == -1 && (-5 >> 1) == -3, right_shift_floors);
KIT_STATIC_ASSERT(sizeof(int) >= 4, int_holds_32_bits);

#ifdef __cplusplus
extern "C" {
#endif

/* floor(value / 2^bits), bits 0..31. */
static inline int32_t kit_asr32(int32_t value, unsigned bits)
{
    return value >> bits;
}

/* floor(value / 2^bits), bits 0..63. */
static inline int64_t kit_asr64(int64_t value, unsigned bits)
{
    return value >> bits;
}

/* value limited to low..high. */
static inline int32_t kit_clamp32(int32_t value, int32_t low, int32_t high)
{
    if (value < low) {
        return low;
    }
    return value > high ? high : value;
}

#ifdef __cplusplus
}
#endif

#endif /* KIT_COMMON_H */

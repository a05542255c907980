/* A loop whose instructions are known, which tells an emulator that counts instructions from anything else. */
#ifndef KIT_CYCLES_LOOP_H
#define KIT_CYCLES_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "kit_cycles.h"

#define KIT_CYCLES_LOOP_TURNS 1000u
#define KIT_CYCLES_LOOP_SLACK 24u /* instructions for entering, leaving and reading the counter */

static inline void kit_cycles_loop(void)
{
    uint32_t turns = KIT_CYCLES_LOOP_TURNS;
#if defined(__riscv)
    __asm volatile("1:\taddi %0, %0, -1\n\tbnez %0, 1b" : "+r"(turns));
#else
    __asm volatile(".syntax unified\n1:\tsubs %0, %0, #1\n\tbne 1b" : "+l"(turns) : : "cc");
#endif
}

/* Do so many instructions make the loop, at two per turn? */
static inline bool kit_cycles_is_loop(uint32_t instructions)
{
    return instructions >= 2u * KIT_CYCLES_LOOP_TURNS &&
           instructions <= 2u * KIT_CYCLES_LOOP_TURNS + KIT_CYCLES_LOOP_SLACK;
}

/* Instructions in an interval of `ticks` ticks of a timer of `hertz`, under -icount. */
static inline uint32_t kit_cycles_instructions(uint32_t ticks, uint32_t hertz)
{
    const uint64_t ns = (uint64_t)ticks * (1000000000u / (hertz / 1000u)) / 1000u;
    return (uint32_t)((ns + (1u << (KIT_CYCLES_ICOUNT_SHIFT - 1))) >> KIT_CYCLES_ICOUNT_SHIFT);
}

#endif /* KIT_CYCLES_LOOP_H */

/* The counter that probes read (kit_probe.h): the seam between profiling and a board. One source file of a port
 * implements it, named by CYCLES_SOURCE in board.mk; only images built with PROBES contain it. */
#ifndef KIT_CYCLES_H
#define KIT_CYCLES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An emulator started with `-icount shift=8` takes 2^8 ns of its own time for every instruction: ticks of a timer that
 * counts at least 4 MHz then give instructions, exactly, when each interval is rounded on its own. The host reads the
 * shift from here. */
#define KIT_CYCLES_ICOUNT_SHIFT 8

/* What is counted. */
#define KIT_CYCLES_NONE 0         /* nothing that can be relied on: an emulator without -icount */
#define KIT_CYCLES_CORE 1         /* cycles of the core */
#define KIT_CYCLES_INSTRUCTIONS 2 /* instructions, in an emulator */

/* Start counting and keep interrupts that come by themselves (a system tick) away; returns what is counted. */
uint8_t kit_cycles_begin(void);

/* Undo what kit_cycles_begin did to interrupts. */
void kit_cycles_end(void);

/* Ticks of the counter, modulo 2^32. Takes the same number of instructions every time. */
uint32_t kit_cycles_now(void);

/* Cycles or instructions in an interval of so many ticks. */
uint32_t kit_cycles_of(uint32_t ticks);

#ifdef __cplusplus
}
#endif

#endif /* KIT_CYCLES_H */

/* Counter of the RISC-V boards: mcycle. QEMU with -icount shows its own nanoseconds there, 2^shift for each instruction;
 * without it, ticks of its host. */
#include "cycles_loop.h"
#include "kit_cycles.h"

static uint8_t unit;

uint32_t kit_cycles_now(void)
{
    uint32_t cycles;
    __asm volatile("csrr %0, mcycle" : "=r"(cycles) : : "memory");
    return cycles;
}

static uint32_t instructions_now(void)
{
    uint32_t instructions;
    __asm volatile("csrr %0, minstret" : "=r"(instructions) : : "memory");
    return instructions;
}

static uint32_t in_emulator(uint32_t ticks)
{
    return (ticks + (1u << (KIT_CYCLES_ICOUNT_SHIFT - 1))) >> KIT_CYCLES_ICOUNT_SHIFT;
}

uint32_t kit_cycles_of(uint32_t ticks)
{
    return unit == KIT_CYCLES_CORE ? ticks : in_emulator(ticks);
}

uint8_t kit_cycles_begin(void)
{
    const uint32_t cycles = kit_cycles_now();
    const uint32_t instructions = instructions_now();
    kit_cycles_loop();
    const uint32_t instructions_taken = instructions_now() - instructions;
    const uint32_t cycles_taken = kit_cycles_now() - cycles;
    unit = KIT_CYCLES_NONE;
    if (kit_cycles_is_loop(in_emulator(cycles_taken))) {
        unit = KIT_CYCLES_INSTRUCTIONS;
    } else if (kit_cycles_is_loop(instructions_taken)) {
        unit = KIT_CYCLES_CORE;
    }
    return unit;
}

void kit_cycles_end(void)
{
}

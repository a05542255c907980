/* Counter of the nRF51822, whose core has none of its own: TIMER0 at 16 MHz, the clock of the core. Its ticks are cycles
 * on the chip, and instructions in an emulator with -icount. */
#include "core.h"
#include "cycles_loop.h"
#include "kit_cycles.h"

#define TIMER(offset) KIT_REG32(0x40008000u + (offset))
#define TIMER_START TIMER(0x000u)
#define TIMER_CAPTURE2 TIMER(0x048u)
#define TIMER_BITMODE TIMER(0x508u)
#define TIMER_PRESCALER TIMER(0x510u)
#define TIMER_CC2 TIMER(0x548u)
#define TICKS_HZ 16000000u

/* Two instructions, one cycle each, and one to three more for the branch back. */
#define LOOP_CYCLES_MIN (2u * KIT_CYCLES_LOOP_TURNS)
#define LOOP_CYCLES_MAX (5u * KIT_CYCLES_LOOP_TURNS)

static uint8_t unit;

uint32_t kit_cycles_now(void)
{
    TIMER_CAPTURE2 = 1u;
    return TIMER_CC2;
}

uint32_t kit_cycles_of(uint32_t ticks)
{
    return unit == KIT_CYCLES_CORE ? ticks : kit_cycles_instructions(ticks, TICKS_HZ);
}

uint8_t kit_cycles_begin(void)
{
    TIMER_BITMODE = 3u; /* 32 bits; as the port sets it up where there is one */
    TIMER_PRESCALER = 0;
    TIMER_START = 1u;
    unit = KIT_CYCLES_NONE;
    const uint32_t begun = kit_cycles_now();
    kit_cycles_loop();
    const uint32_t ticks = kit_cycles_now() - begun;
    if (kit_cycles_is_loop(kit_cycles_of(ticks))) {
        unit = KIT_CYCLES_INSTRUCTIONS;
    } else if (ticks >= LOOP_CYCLES_MIN && ticks <= LOOP_CYCLES_MAX) {
        unit = KIT_CYCLES_CORE;
    }
    return unit;
}

void kit_cycles_end(void)
{
}

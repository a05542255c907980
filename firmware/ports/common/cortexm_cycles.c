/* Counter of the Cortex-M boards with a CMSDK timer or the system counter of an SSE-300: the cycle counter of the core
 * where it has one that counts (DWT, Armv7-M reference manual C1.8), else the timer, whose ticks are instructions in
 * an emulator with -icount. QEMU has no DWT: its registers read 0. */
#include "board.h"
#include "core.h"
#include "cycles_loop.h"
#include "kit_cycles.h"

#define DEMCR KIT_REG32(0xE000EDFCu) /* bit 24: trace on */
#define DWT_CTRL KIT_REG32(0xE0001000u) /* bit 0: cycle counter on */
#define DWT_CYCCNT KIT_REG32(0xE0001004u)
#define DWT_LAR KIT_REG32(0xE0001FB0u) /* opens the registers of a Cortex-M7 to software */

#if defined(KIT_BOARD_COUNTER_STATUS)
#define COUNTER_CTRL KIT_REG32(KIT_BOARD_COUNTER_CONTROL + 0x00u) /* bit 0 on */
#define COUNTER_VALUE KIT_REG32(KIT_BOARD_COUNTER_STATUS + 0x00u) /* low word, counts up */
#define TICKS_HZ KIT_BOARD_COUNTER_HZ
#else
#define TIMER_CTRL KIT_REG32(KIT_BOARD_TIMER_BASE + 0x00u)  /* bit 0 on */
#define TIMER_VALUE KIT_REG32(KIT_BOARD_TIMER_BASE + 0x04u) /* counts down */
#define TIMER_RELOAD KIT_REG32(KIT_BOARD_TIMER_BASE + 0x08u)
#define TICKS_HZ KIT_BOARD_TIMER_HZ
#endif

static uint8_t unit;
static uint32_t systick;

/* The port may have started the timer already, and keeps time with it. */
static void start_ticks(void)
{
#if defined(KIT_BOARD_COUNTER_STATUS)
    COUNTER_CTRL = 1u;
#else
    if ((TIMER_CTRL & 1u) == 0) {
        TIMER_RELOAD = UINT32_MAX;
        TIMER_VALUE = UINT32_MAX;
        TIMER_CTRL = 1u;
    }
#endif
}

static uint32_t ticks_now(void)
{
#if defined(KIT_BOARD_COUNTER_STATUS)
    return COUNTER_VALUE;
#else
    return UINT32_MAX - TIMER_VALUE;
#endif
}

uint32_t kit_cycles_now(void)
{
    return unit == KIT_CYCLES_CORE ? DWT_CYCCNT : ticks_now();
}

uint32_t kit_cycles_of(uint32_t ticks)
{
    return unit == KIT_CYCLES_CORE ? ticks : kit_cycles_instructions(ticks, TICKS_HZ);
}

static uint8_t what_counts(void)
{
    DEMCR |= 1u << 24;
    DWT_LAR = 0xC5ACCE55u;
    DWT_CTRL |= 1u;
    const uint32_t begun = DWT_CYCCNT;
    kit_cycles_loop();
    if (DWT_CYCCNT != begun) {
        return KIT_CYCLES_CORE;
    }
    const uint32_t ticks = ticks_now();
    kit_cycles_loop();
    return kit_cycles_is_loop(kit_cycles_of(ticks_now() - ticks)) ? KIT_CYCLES_INSTRUCTIONS : KIT_CYCLES_NONE;
}

uint8_t kit_cycles_begin(void)
{
    systick = KIT_SYST_CSR;
    KIT_SYST_CSR = 0;
    start_ticks();
    unit = KIT_CYCLES_NONE;
    unit = what_counts();
    return unit;
}

void kit_cycles_end(void)
{
    KIT_SYST_CSR = systick;
}

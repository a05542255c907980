/* Microseconds from a free-running counter of 32 bits. It sums up what passed since the last call, which must be less
 * than a turn of the counter ago (134 s at 32 MHz): the main loop asks in every pass, and sleeps a millisecond at most. */
#ifndef KIT_TICK_CLOCK_H
#define KIT_TICK_CLOCK_H

#include <stdint.h>

typedef struct {
    uint32_t last; /* ticks at the last call */
    uint32_t rest; /* ticks that make no whole microsecond yet */
    uint32_t time_us;
} kit_tick_clock_t;

static inline uint32_t kit_tick_clock_us(kit_tick_clock_t *clock, uint32_t ticks_now, uint32_t ticks_per_us)
{
    const uint32_t ticks = ticks_now - clock->last;
    clock->last = ticks_now;
    clock->time_us += ticks / ticks_per_us;
    clock->rest += ticks % ticks_per_us;
    if (clock->rest >= ticks_per_us) {
        clock->rest -= ticks_per_us;
        clock->time_us++;
    }
    return clock->time_us;
}

#endif /* KIT_TICK_CLOCK_H */

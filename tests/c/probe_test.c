/* The arithmetic of the probes, with a counter that the test moves. */
#include "check.h"
#include "kit_cycles.h"
#include "kit_probe.h"

#define READ 3u /* what one reading of the counter takes */

static uint32_t clock_now = 0xFFFFFF00u; /* wraps on the way */
static unsigned begun;

static void work(uint32_t count)
{
    clock_now += count;
}

uint8_t kit_cycles_begin(void)
{
    begun++;
    return KIT_CYCLES_CORE;
}

void kit_cycles_end(void)
{
    begun--;
}

uint32_t kit_cycles_now(void)
{
    clock_now += READ;
    return clock_now;
}

uint32_t kit_cycles_of(uint32_t ticks)
{
    return ticks;
}

/* A stage, another, the first again: each gets what was worked in it, and nothing of the probes. */
static void test_stages(void)
{
    kit_probe_clear();
    for (unsigned frame = 0; frame < 3; frame++) {
        kit_probe_switch(KIT_PROBE_REST);
        work(5);
        KIT_PROBE_ENTER(KIT_PROBE_NORMALISE);
        work(100);
        KIT_PROBE_LEAVE(KIT_PROBE_NORMALISE);
        work(7);
        KIT_PROBE_ENTER(KIT_PROBE_SCHEDULE);
        work(11);
        KIT_PROBE_ENTER_LAYER(31);
        work(1000);
        KIT_PROBE_LEAVE_LAYER();
        KIT_PROBE_LEAVE(KIT_PROBE_SCHEDULE);
        KIT_PROBE_ENTER(KIT_PROBE_LEVEL(7));
        KIT_PROBE_LEAVE(KIT_PROBE_LEVEL(7));
        kit_probe_switch(KIT_PROBE_OFF);
        work(12345);
    }
    CHECK(kit_probe_of(KIT_PROBE_NORMALISE).count == 300 && kit_probe_of(KIT_PROBE_NORMALISE).visits == 3);
    CHECK(kit_probe_of(KIT_PROBE_REST).count == 36 && kit_probe_of(KIT_PROBE_REST).visits == 12);
    CHECK(kit_probe_of(KIT_PROBE_SCHEDULE).count == 33 && kit_probe_of(KIT_PROBE_SCHEDULE).visits == 6);
    CHECK(kit_probe_of(KIT_PROBE_STAGES - 1).count == 3000);
    CHECK(kit_probe_of(KIT_PROBE_LEVEL(7)).count == 0 && kit_probe_of(KIT_PROBE_LEVEL(7)).visits == 3);
    CHECK(kit_probe_of(KIT_PROBE_PACK).visits == 0);
    kit_probe_clear();
    CHECK(kit_probe_of(KIT_PROBE_NORMALISE).count == 0 && kit_probe_of(KIT_PROBE_NORMALISE).visits == 0);
}

int main(void)
{
    CHECK(kit_probe_begin() == KIT_CYCLES_CORE);
    CHECK(begun == 1);
    test_stages();
    kit_probe_end();
    CHECK(begun == 0);
    return 0;
}

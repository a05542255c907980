#include "kit_probe.h"

#if defined(KIT_PROBES)

#include <string.h>

#include "kit_cycles.h"

#define CALIBRATION_SWITCHES 16u

static kit_probe_stage_t stages[KIT_PROBE_STAGES];
static unsigned current;
static uint32_t since;
static uint32_t own; /* what a visit counts when nothing happens in it */

void kit_probe_switch(unsigned stage)
{
    const uint32_t now = kit_cycles_now();
    stages[current].count += kit_cycles_of(now - since);
    stages[current].visits++;
    current = stage;
    since = kit_cycles_now();
}

void kit_probe_clear(void)
{
    memset(stages, 0, sizeof stages);
}

kit_probe_stage_t kit_probe_of(unsigned stage)
{
    kit_probe_stage_t found = stages[stage];
    const uint32_t probes = found.visits * own;
    found.count = found.count > probes ? found.count - probes : 0;
    return found;
}

uint8_t kit_probe_begin(void)
{
    const uint8_t unit = kit_cycles_begin();
    own = UINT32_MAX;
    current = KIT_PROBE_OFF;
    /* The least of many: the first ones fill caches where there are any. */
    for (unsigned i = 0; i < CALIBRATION_SWITCHES; i++) {
        kit_probe_clear();
        kit_probe_switch(KIT_PROBE_REST);
        kit_probe_switch(KIT_PROBE_OFF);
        if (stages[KIT_PROBE_REST].count < own) {
            own = stages[KIT_PROBE_REST].count;
        }
    }
    kit_probe_clear();
    return unit;
}

void kit_probe_end(void)
{
    kit_cycles_end();
}

#endif

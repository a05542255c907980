#include "kit_profile.h"

#if defined(KIT_PROBES)

#include <string.h>

/* One stage over all frames. */
typedef struct {
    uint64_t total;
    uint32_t visits;
    uint32_t worst; /* of one frame */
} sum_t;

static sum_t sums[KIT_PROBE_STAGES];
static uint16_t frames;
static uint8_t unit;

void kit_profile_begin(void)
{
    memset(sums, 0, sizeof sums);
    frames = 0;
    unit = kit_probe_begin();
}

void kit_profile_frame(void)
{
    for (unsigned stage = 0; stage < KIT_PROBE_STAGES; stage++) {
        const kit_probe_stage_t found = kit_probe_of(stage);
        sum_t *sum = &sums[stage];
        sum->total += found.count;
        sum->visits += found.visits;
        if (found.count > sum->worst) {
            sum->worst = found.count;
        }
    }
    kit_probe_clear();
    frames++;
}

void kit_profile_end(void)
{
    kit_probe_end();
}

void kit_profile_reply(kit_link_t *link, uint8_t request, uint8_t stage)
{
    const sum_t *sum = &sums[stage];
    uint8_t *m = kit_link_message(link);
    m[0] = KIT_MSG_PROFILE;
    m[KIT_PROFILE_REQUEST_AT] = request;
    m[KIT_PROFILE_STAGE_AT] = stage;
    m[KIT_PROFILE_STAGES_AT] = KIT_PROBE_STAGES;
    m[KIT_PROFILE_UNIT_AT] = unit;
    kit_put_u16(m + KIT_PROFILE_FRAMES_AT, frames);
    kit_put_u32(m + KIT_PROFILE_VISITS_AT, sum->visits);
    kit_put_u32(m + KIT_PROFILE_TOTAL_LOW_AT, (uint32_t)sum->total);
    kit_put_u32(m + KIT_PROFILE_TOTAL_HIGH_AT, (uint32_t)(sum->total >> 32));
    kit_put_u32(m + KIT_PROFILE_WORST_AT, sum->worst);
    (void)kit_link_send(link, KIT_MSG_PROFILE_BYTES);
}

#endif

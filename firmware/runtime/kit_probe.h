/* Probes: where the codec's time goes, by stage. They vanish unless KIT_PROBES is defined (`make ... PROBES=1`).
 *
 * One stage is current at any time; switching takes the counter (kit_cycles.h) twice, so that the probe's bookkeeping
 * belongs to no stage, and what is left of it, from the second reading of one switch to the first of the next with
 * nothing in between, is measured at the start and taken off. Every instruction between the caller's switch away from
 * KIT_PROBE_OFF and the one back belongs to exactly one stage, hence stages add up to the whole.
 *
 * With KIT_PROBES_FRAME as well, only the caller's switches remain (`make ... PROBES=frame`): the codec is compiled as
 * it is without probes, and its total is that of the image that ships. */
#ifndef KIT_PROBE_H
#define KIT_PROBE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KIT_PROBE_LEVELS_MAX 8
#define KIT_PROBE_LAYERS_MAX 32

/* Stages; kit/wire/profile.py reads this list. */
enum {
    KIT_PROBE_OFF,       /* not the codec: what its caller does */
    KIT_PROBE_REST,      /* of the codec, what has no stage of its own: sample ring, steps of a poll */
    KIT_PROBE_INPUT,     /* kit_codec_push */
    KIT_PROBE_NORMALISE, /* statistics, scale, samples to INT8 */
    KIT_PROBE_PACK,      /* bits into the packet */
    KIT_PROBE_SCHEDULE,  /* encoder, what belongs to no layer: which layer goes next, where its columns are */
    KIT_PROBE_LEVEL_0,   /* RVQ search, one stage per level */
    KIT_PROBE_LAYER_0 = KIT_PROBE_LEVEL_0 + KIT_PROBE_LEVELS_MAX, /* encoder, one stage per layer */
    KIT_PROBE_STAGES = KIT_PROBE_LAYER_0 + KIT_PROBE_LAYERS_MAX
};

#define KIT_PROBE_LEVEL(level) (KIT_PROBE_LEVEL_0 + (unsigned)(level))

/* Of one stage in the frame at hand: instructions (or cycles) with the probe's own taken off, and visits. */
typedef struct {
    uint32_t count;
    uint32_t visits;
} kit_probe_stage_t;

#if defined(KIT_PROBES)

/* Start the counter and measure the probe's own share. Returns what is counted: KIT_CYCLES_*. */
uint8_t kit_probe_begin(void);

/* Let interrupts come again. */
void kit_probe_end(void);

/* Forget everything counted so far: a frame begins. */
void kit_probe_clear(void);

/* What a stage took since then. */
kit_probe_stage_t kit_probe_of(unsigned stage);

/* What goes by from here on belongs to `stage`. */
void kit_probe_switch(unsigned stage);

#define KIT_PROBE_SWITCH(stage) kit_probe_switch(stage)
#else
#define KIT_PROBE_SWITCH(stage) ((void)0)
#endif

/* Around a stage inside of the codec, and around a layer inside of the engine, which is KIT_PROBE_SCHEDULE otherwise.
 * Other stages do not contain each other. */
#if defined(KIT_PROBES) && !defined(KIT_PROBES_FRAME)
#define KIT_PROBE_ENTER(stage) kit_probe_switch(stage)
#define KIT_PROBE_LEAVE(stage) kit_probe_switch(KIT_PROBE_REST)
#define KIT_PROBE_ENTER_LAYER(layer) kit_probe_switch(KIT_PROBE_LAYER_0 + (unsigned)(layer))
#define KIT_PROBE_LEAVE_LAYER() kit_probe_switch(KIT_PROBE_SCHEDULE)
#else
#define KIT_PROBE_ENTER(stage) ((void)0)
#define KIT_PROBE_LEAVE(stage) ((void)0)
#define KIT_PROBE_ENTER_LAYER(layer) ((void)0)
#define KIT_PROBE_LEAVE_LAYER() ((void)0)
#endif

#ifdef __cplusplus
}
#endif

#endif /* KIT_PROBE_H */

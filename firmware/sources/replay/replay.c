/* The embedded recording as a sensor: frame after frame and around again, from its first sample at every start of a
 * stream.
 *
 * Realtime mode delivers a sample when its time has come. The reader may be late by a frame, as if the sensor had a
 * FIFO of that length; then samples are lost and counted, and the recording pauses for them, so that every frame stays
 * one of the recording whatever the processor manages. Fast mode delivers as many as are asked for. */
#include "kit_source.h"

#include "kit_generated.h"
#include "kit_port.h"
#include "kit_protocol.h"
#include KIT_VECTORS_HEADER

#define PERIOD_US (1000000000u / KIT_SAMPLE_RATE_MHZ)
#define PERIOD_REST (1000000000u % KIT_SAMPLE_RATE_MHZ)
#define FUTURE_US 0x80000000u /* a difference of times from here on is negative */
#define LATE_US_MAX (KIT_FRAME_SAMPLES < FUTURE_US / 2u / PERIOD_US ? KIT_FRAME_SAMPLES * PERIOD_US : FUTURE_US / 2u)
#define LOST_AT_A_TIME 256u /* samples passed over in one call */

static uint8_t source_mode;
static uint16_t frame;    /* of the recording */
static uint16_t sample;   /* of that frame */
static uint32_t due_us;   /* realtime: when the next sample arrives */
static uint32_t due_rest; /* fraction of it, in 1 / KIT_SAMPLE_RATE_MHZ microseconds */
static uint32_t newest_us;
static uint32_t dropped;

void kit_source_begin(uint8_t mode)
{
    source_mode = mode;
    frame = 0;
    sample = 0;
    due_us = kit_port_time_us();
    due_rest = 0;
    newest_us = due_us;
}

/* The next sample arrives one period later. */
static void advance_clock(void)
{
    due_us += PERIOD_US;
    due_rest += PERIOD_REST;
    if (due_rest >= KIT_SAMPLE_RATE_MHZ) {
        due_rest -= KIT_SAMPLE_RATE_MHZ;
        due_us++;
    }
}

static kit_sample_t next_sample(void)
{
    const kit_sample_t value = KIT_EMBEDDED_SAMPLES[frame][sample];
    sample++;
    if (sample == KIT_FRAME_SAMPLES) {
        sample = 0;
        frame = (uint16_t)(frame + 1u == KIT_EMBEDDED_FRAMES ? 0u : frame + 1u);
    }
    return value;
}

static uint32_t late_us(uint32_t now_us)
{
    return now_us - due_us;
}

size_t kit_source_read(kit_sample_t *samples, size_t samples_max)
{
    const uint32_t now_us = kit_port_time_us();
    size_t count = 0;
    if (source_mode != KIT_STREAM_MODE_REALTIME) {
        for (; count < samples_max; count++) {
            samples[count] = next_sample();
        }
        newest_us = now_us;
        return count;
    }
    for (; count < samples_max && late_us(now_us) < FUTURE_US; count++) {
        samples[count] = next_sample();
        newest_us = due_us;
        advance_clock();
    }
    for (unsigned lost = 0; lost < LOST_AT_A_TIME; lost++) {
        if (late_us(now_us) >= FUTURE_US || late_us(now_us) <= LATE_US_MAX) {
            break;
        }
        dropped++;
        advance_clock();
    }
    return count;
}

uint32_t kit_source_dropped(void)
{
    return dropped;
}

uint32_t kit_source_time_us(void)
{
    return newest_us;
}

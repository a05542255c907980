#include "kit_stream.h"

#include <string.h>

#include "kit_app_jobs.h"
#include "kit_reply.h"
#include "kit_source.h"

void kit_stream_start(kit_app_t *app, const uint8_t *message)
{
    kit_app_begin_job(app, KIT_JOB_STREAM, message[KIT_STREAM_START_REQUEST_AT]);
    app->mode = message[KIT_STREAM_START_MODE_AT];
    app->packets = kit_get_u32(message + KIT_STREAM_START_PACKETS_AT);
    app->pushed_frames = 0;
    app->pushed = 0;
    app->sent = 0;
    app->lost = 0;
    app->arrivals_count = 0;
    kit_packet_reset(&app->packet);
    kit_source_begin(app->mode);
}

void kit_stream_end(kit_app_t *app)
{
    app->job = KIT_JOB_NONE;
    kit_source_end();
}

/* A frame leaves the codec, coded or lost; returns when its last sample arrived. */
static uint16_t take_arrival(kit_app_t *app)
{
    const uint16_t arrival = app->arrivals[0];
    app->arrivals_count--;
    memmove(app->arrivals, app->arrivals + 1, app->arrivals_count * sizeof app->arrivals[0]);
    return arrival;
}

/* The last sample of a frame was pushed: note when it had arrived. */
static void note_arrival(kit_app_t *app)
{
    const uint32_t age_us = app->now_us - kit_source_time_us();
    const uint32_t late_us = age_us > 0x7FFFFFFFu ? 0u : age_us; /* a source may look at the clock after us */
    app->arrivals[app->arrivals_count++] = (uint16_t)(app->clock_ms - late_us / 1000u);
    app->sample = 0;
    app->pushed_frames++;
    if (app->pushed_frames == KIT_FRAMES_PER_PACKET) {
        app->pushed_frames = 0;
        app->pushed++;
    }
}

/* Samples that may be pushed now: to the end of the frame, as far as there is room for them and for their arrival. */
static size_t samples_wanted(kit_app_t *app)
{
    size_t count = (size_t)KIT_FRAME_SAMPLES - app->sample;
    const size_t room = kit_codec_room(kit_app_codec(app));
    count = count < room ? count : room;
    count = count < KIT_APP_SAMPLES_MAX ? count : KIT_APP_SAMPLES_MAX;
    return app->arrivals_count < KIT_APP_ARRIVALS_MAX ? count : 0;
}

/* Take what the source has; returns whether it had anything. */
static bool take_samples(kit_app_t *app)
{
    kit_sample_t samples[KIT_APP_SAMPLES_MAX];
    bool any = false;
    for (unsigned reads = 0; reads < KIT_APP_READS_MAX; reads++) {
        if (app->packets != 0 && app->pushed == app->packets) {
            break; /* all that was asked for */
        }
        const size_t wanted = samples_wanted(app);
        const size_t count = kit_source_read(samples, wanted);
        (void)kit_codec_push(kit_app_codec(app), samples, count);
        app->sample = (uint16_t)(app->sample + count);
        if (app->sample == KIT_FRAME_SAMPLES) {
            note_arrival(app);
        }
        any = any || count != 0;
        if (count < wanted || count == 0) {
            break;
        }
    }
    return any;
}

/* Send the packet that is full, or leave it out when a frame of it was lost. */
static void settle_packet(kit_app_t *app)
{
    if (!kit_packet_full(&app->packet)) {
        return;
    }
    if (kit_packet_broken(&app->packet)) {
        app->lost++;
    } else if (kit_link_tx_room(&app->link)) {
        kit_reply_packet(&app->link, &app->packet);
        app->sent++;
        app->counters.tx_packets++;
    } else {
        return;
    }
    kit_packet_next(&app->packet);
}

/* Leave out the full packet that waits for the line. */
static void give_up_packet(kit_app_t *app)
{
    kit_packet_next(&app->packet);
    app->lost++;
    app->counters.tx_dropped++;
}

/* The codec has coded a frame: it joins its packet. Where the packet before still waits for the line, the frame waits
 * in the codec, and its samples in the ring; once the ring is full the line is slower than the sensor, and that packet
 * is given up rather than samples. Its number is left out. */
static void take_frame(kit_app_t *app)
{
    settle_packet(app);
    if (kit_packet_full(&app->packet)) {
        if (app->mode != KIT_STREAM_MODE_REALTIME || kit_codec_room(kit_app_codec(app)) > 1) {
            return;
        }
        give_up_packet(app);
    }
    uint16_t bytes;
    const uint8_t *frame = kit_codec_packet(kit_app_codec(app), &bytes);
    kit_packet_add(&app->packet, frame, bytes, take_arrival(app));
    settle_packet(app);
}

/* The codec has lost a frame, whose place in its packet must not go to the next one. */
static void lose_frame(kit_app_t *app)
{
    settle_packet(app);
    if (kit_packet_full(&app->packet)) {
        give_up_packet(app);
    }
    kit_packet_add(&app->packet, NULL, 0, take_arrival(app));
    settle_packet(app);
}

bool kit_stream_step(kit_app_t *app)
{
    const bool realtime = app->mode == KIT_STREAM_MODE_REALTIME;
    const bool pushed = realtime && take_samples(app);
    const kit_status_t status = kit_codec_poll(kit_app_codec(app));
    if (status < 0) {
        lose_frame(app);
        kit_app_fail_job(app, status);
    } else if (status == KIT_PACKET) {
        take_frame(app);
    }
    settle_packet(app);
    if (app->packets != 0 && app->sent + app->lost == app->packets && app->notice == KIT_NOTICE_NONE) {
        kit_stream_end(app);
        app->notice = KIT_NOTICE_STREAM_FINISHED;
        return true;
    }
    /* Fast: the next samples go in when the codec has nothing else to do. */
    const bool replayed = !realtime && status == KIT_IDLE && take_samples(app);
    return pushed || replayed || status != KIT_IDLE;
}

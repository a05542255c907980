#include "kit_app.h"

#include <string.h>

#include "kit_app_jobs.h"
#include "kit_port.h"
#include "kit_probe.h"
#include "kit_profile.h"
#include "kit_reply.h"
#include "kit_source.h"
#include "kit_stream.h"
#include KIT_VECTORS_HEADER

KIT_STATIC_ASSERT(KIT_APP_CHUNK_BYTES <= 255, chunk_counts_fit_a_byte);
KIT_STATIC_ASSERT(KIT_APP_PACKET_BYTES <= 0xFFFF, a_packet_body_fits_its_length_field);

/* ---- jobs ---- */

void kit_app_begin_job(kit_app_t *app, uint8_t job, uint8_t request)
{
    kit_codec_reset(kit_app_codec(app));
    app->job = job;
    app->request = request;
    app->frame = 0;
    app->sample = 0;
}

void kit_app_fail_job(kit_app_t *app, int status)
{
    app->failure = (int8_t)status;
    app->failure_detail = app->frame;
    app->notice = KIT_NOTICE_ERROR;
}

/* Bytes of a sample in ENCODE_FRAME. */
static uint32_t wire_sample_bytes(void)
{
    return KIT_MODEL.sample_bits <= 16 ? 2u : 4u;
}

/* Sample at `at` of an ENCODE_FRAME message, little-endian. */
static kit_sample_t wire_sample(const uint8_t *at)
{
    return KIT_MODEL.sample_bits <= 16 ? (kit_sample_t)(int16_t)kit_get_u16(at) : (kit_sample_t)kit_get_u32(at);
}

/* The frame in the receive buffer goes to the codec, whose empty ring holds it, and the buffer is free again. */
static void start_encode(kit_app_t *app)
{
    kit_sample_t samples[KIT_APP_SAMPLES_MAX];
    kit_app_begin_job(app, KIT_JOB_ENCODE, app->rx[1]);
    app->frame = kit_get_u16(app->rx + KIT_ENCODE_FRAME_FRAME_AT);
    app->begun_us = app->now_us;
    const uint8_t *at = app->rx + KIT_ENCODE_FRAME_SAMPLES_AT;
    for (uint32_t done = 0; done < KIT_FRAME_SAMPLES;) {
        uint32_t count = 0;
        for (; count < KIT_APP_SAMPLES_MAX && done + count < KIT_FRAME_SAMPLES; count++, at += wire_sample_bytes()) {
            samples[count] = wire_sample(at);
        }
        (void)kit_codec_push(kit_app_codec(app), samples, count);
        done += count;
    }
    app->held = false;
}

static bool step_encode(kit_app_t *app)
{
    const kit_status_t status = kit_codec_poll(kit_app_codec(app));
    if (status < 0) {
        app->job = KIT_JOB_NONE;
        kit_app_fail_job(app, status);
    } else if (status == KIT_PACKET && kit_link_tx_room(&app->link)) {
        uint16_t bytes;
        const uint8_t *body = kit_codec_packet(kit_app_codec(app), &bytes);
        kit_reply_encoded(&app->link, app->frame, app->now_us - app->begun_us, body, bytes);
        app->job = KIT_JOB_NONE;
    }
    return true;
}

/* ---- profile: a self-test that counts; only with probes ---- */

static void end_profiled_frame(const kit_app_t *app)
{
#if defined(KIT_PROBES)
    if (app->job == KIT_JOB_PROFILE) {
        kit_profile_frame();
    }
#else
    (void)app;
#endif
}

/* The notice that tells what was measured, or that packets were wrong: then nothing can be said. */
static uint8_t end_profile(kit_app_t *app)
{
#if defined(KIT_PROBES)
    kit_profile_end();
#endif
    if (app->failed == 0) {
        return KIT_NOTICE_PROFILE;
    }
    kit_app_fail_job(app, KIT_ERR_ENGINE);
    app->failure_detail = app->first_failed;
    return KIT_NOTICE_ERROR;
}

static void start_profile(kit_app_t *app, uint8_t request)
{
    kit_app_begin_job(app, KIT_JOB_PROFILE, request);
    app->failed = 0;
    app->first_failed = 0;
#if defined(KIT_PROBES)
    kit_profile_begin();
#endif
}

static void reply_profile(kit_app_t *app, uint8_t request, uint8_t stage)
{
#if defined(KIT_PROBES)
    kit_profile_reply(&app->link, request, stage);
#else
    kit_reply_error(&app->link, request, KIT_ERR_COMMAND, stage);
#endif
}

static void judge_self_test(kit_app_t *app, const uint8_t *packet, uint16_t bytes)
{
    if (packet == NULL || bytes != KIT_EMBEDDED_PACKET_BYTES(app->frame) ||
        memcmp(packet, KIT_EMBEDDED_PACKET(app->frame), bytes) != 0) {
        if (app->failed == 0) {
            app->first_failed = app->frame;
        }
        app->failed++;
    }
    app->frame++;
    app->sample = 0;
    end_profiled_frame(app);
    if (app->frame == KIT_EMBEDDED_FRAMES) {
        app->notice = app->job == KIT_JOB_PROFILE ? end_profile(app) : (uint8_t)KIT_NOTICE_SELF_TEST_RESULT;
        app->job = KIT_JOB_NONE;
    }
}

/* Push the next samples of the embedded frame. */
static void push_embedded(kit_app_t *app)
{
    uint32_t count = (uint32_t)KIT_FRAME_SAMPLES - app->sample;
    if (count > KIT_APP_SAMPLES_MAX) {
        count = KIT_APP_SAMPLES_MAX;
    }
    KIT_PROBE_SWITCH(KIT_PROBE_INPUT);
    const size_t taken = kit_codec_push(kit_app_codec(app), &KIT_EMBEDDED_SAMPLES[app->frame][app->sample], count);
    KIT_PROBE_SWITCH(KIT_PROBE_OFF);
    app->sample = (uint16_t)(app->sample + taken);
}

static bool step_self_test(kit_app_t *app)
{
    KIT_PROBE_SWITCH(KIT_PROBE_REST);
    const kit_status_t status = kit_codec_poll(kit_app_codec(app));
    KIT_PROBE_SWITCH(KIT_PROBE_OFF);
    if (status < 0) {
        judge_self_test(app, NULL, 0);
    } else if (status == KIT_PACKET) {
        uint16_t bytes;
        const uint8_t *packet = kit_codec_packet(kit_app_codec(app), &bytes);
        judge_self_test(app, packet, bytes);
    } else if (status == KIT_IDLE) {
        push_embedded(app);
    }
    return true;
}

static bool step_job(kit_app_t *app)
{
    switch (app->job) {
    case KIT_JOB_ENCODE:
        return step_encode(app);
    case KIT_JOB_SELF_TEST:
    case KIT_JOB_PROFILE:
        return step_self_test(app);
    case KIT_JOB_STREAM:
        return kit_stream_step(app);
    default:
        return false;
    }
}

/* ---- messages from the host ---- */

/* Length (type byte and fields) that a message of this type must have; 0 for an unknown type. */
static uint32_t expected_bytes(uint8_t type)
{
    switch (type) {
#define KIT_EXPECTED(name, code, fixed, tail, is_long) \
    case (code):                                       \
        return (fixed) + ((tail) ? KIT_FRAME_SAMPLES * wire_sample_bytes() : 0u);
        KIT_HOST_MESSAGE_LIST(KIT_EXPECTED)
#undef KIT_EXPECTED
    default:
        return 0;
    }
}

/* Why a well-formed message is refused, or KIT_OK; `detail` explains it. */
static kit_status_t refusal(const kit_app_t *app, const uint8_t *message, size_t bytes, uint32_t *detail)
{
    const uint8_t type = message[0];
    const uint32_t expected = expected_bytes(type);
    if (app->startup != KIT_OK) {
        const kit_engine_failure_t failure = kit_engine_failure(KIT_ENGINE(&app->storage));
        *detail = failure.expected > failure.found ? failure.expected - failure.found : failure.found - failure.expected;
        return (kit_status_t)app->startup;
    }
    *detail = type;
    if (expected == 0) {
        return KIT_ERR_COMMAND;
    }
    /* Before the length, which another version may have changed. */
    if (type == KIT_MSG_HELLO_REQUEST && bytes > KIT_HELLO_REQUEST_PROTOCOL_AT &&
        message[KIT_HELLO_REQUEST_PROTOCOL_AT] != KIT_PROTOCOL_VERSION) {
        *detail = KIT_PROTOCOL_VERSION;
        return KIT_ERR_PROTOCOL;
    }
    *detail = expected;
    if (bytes != expected) {
        return KIT_ERR_LENGTH;
    }
    if (type == KIT_MSG_STREAM_START && message[KIT_STREAM_START_MODE_AT] > KIT_STREAM_MODE_FAST) {
        *detail = KIT_STREAM_MODE_FAST;
        return KIT_ERR_ARGUMENT;
    }
    if (type == KIT_MSG_PROFILE_REQUEST) {
#if defined(KIT_PROBES)
        if (message[KIT_PROFILE_REQUEST_STAGE_AT] >= KIT_PROBE_STAGES) {
            *detail = KIT_PROBE_STAGES - 1;
            return KIT_ERR_ARGUMENT;
        }
#else
        *detail = type;
        return KIT_ERR_COMMAND;
#endif
    }
    *detail = 0;
    /* A stream may be started anew at any time, so that a host that lost its connection can begin again; a frame may
     * wait for the one before it. */
    const bool follows = (type == KIT_MSG_STREAM_START && app->job == KIT_JOB_STREAM) ||
                         (type == KIT_MSG_ENCODE_FRAME && app->job == KIT_JOB_ENCODE);
    const bool needs_codec = type == KIT_MSG_ENCODE_FRAME || type == KIT_MSG_SELF_TEST ||
                             type == KIT_MSG_STREAM_START || type == KIT_MSG_PROFILE_REQUEST;
    return needs_codec && !follows && app->job != KIT_JOB_NONE ? KIT_ERR_STATE : KIT_OK;
}

static void handle(kit_app_t *app, const uint8_t *message, size_t bytes)
{
    /* Every message but a bare type has its request number, or the low byte of its frame number, in the same place. */
    const uint8_t request = bytes > 1 ? message[1] : 0;
    uint32_t detail;
    const kit_status_t status = refusal(app, message, bytes, &detail);
    if (status != KIT_OK) {
        kit_reply_error(&app->link, request, status, detail);
        app->counters.refused++;
        return;
    }
    const kit_device_facts_t facts = {
        .state_bytes = (uint32_t)sizeof app->storage,
        .arena_bytes = kit_engine_info(KIT_ENGINE(&app->storage)).scratch_bytes,
        .embedded_frames = KIT_EMBEDDED_FRAMES,
        .body_bytes = KIT_APP_PACKET_BYTES,
        .frames_per_packet = KIT_FRAMES_PER_PACKET,
        .credits = KIT_APP_CREDITS,
    };
    switch (message[0]) {
    case KIT_MSG_HELLO_REQUEST:
        kit_reply_hello(&app->link, request, &KIT_MODEL, &facts);
        break;
    case KIT_MSG_ENCODE_FRAME:
        app->held = true; /* until the codec is free */
        if (app->job == KIT_JOB_NONE) {
            start_encode(app);
        }
        break;
    case KIT_MSG_SELF_TEST:
        kit_app_begin_job(app, KIT_JOB_SELF_TEST, request);
        app->failed = 0;
        app->first_failed = 0;
        break;
    case KIT_MSG_STREAM_START:
        kit_stream_start(app, message);
        kit_reply_stream_state(&app->link, request, KIT_STREAM_STATE_RUNNING, 0, 0);
        break;
    case KIT_MSG_STREAM_STOP:
        if (app->job == KIT_JOB_STREAM) {
            kit_stream_end(app);
        }
        kit_reply_stream_state(&app->link, request, KIT_STREAM_STATE_STOPPED, app->sent, app->lost);
        break;
    case KIT_MSG_PROFILE_REQUEST:
        if (message[KIT_PROFILE_REQUEST_STAGE_AT] == KIT_PROBE_OFF) {
            start_profile(app, request);
        } else {
            reply_profile(app, request, message[KIT_PROFILE_REQUEST_STAGE_AT]);
        }
        break;
    default: /* KIT_MSG_COUNTERS_REQUEST: refusal() let nothing else through */
        app->counters.samples_dropped = kit_source_dropped() - app->source_dropped;
        kit_reply_counters(&app->link, request, &app->counters);
        break;
    }
}

/* ---- the line ---- */

static bool transmit(kit_app_t *app)
{
    size_t bytes;
    const uint8_t *pending = kit_link_pending(&app->link, &bytes);
    if (bytes != 0) {
        kit_link_taken(&app->link, kit_port_write(pending, bytes));
    }
    return bytes != 0;
}

/* Handle what arrived, as long as its answers have room and no frame holds the receive buffer. */
static bool receive(kit_app_t *app)
{
    bool any = false;
    for (uint32_t left = KIT_APP_RX_POLL_BYTES; left != 0 && !app->held && kit_link_tx_room(&app->link); left--) {
        if (app->chunk_at == app->chunk_bytes) {
            app->chunk_at = 0;
            app->chunk_bytes = (uint8_t)kit_port_read(app->chunk, sizeof app->chunk);
            if (app->chunk_bytes == 0) {
                break;
            }
        }
        any = true;
        const size_t bytes = kit_link_receive(&app->link, app->chunk[app->chunk_at++]);
        if (bytes != 0) {
            handle(app, app->rx, bytes);
        }
    }
    return any;
}

static bool notify(kit_app_t *app)
{
    const uint8_t notice = app->notice;
    app->notice = KIT_NOTICE_NONE;
    switch (notice) {
    case KIT_NOTICE_ERROR:
        kit_reply_error(&app->link, app->request, app->failure, app->failure_detail);
        return true;
    case KIT_NOTICE_SELF_TEST_RESULT:
        kit_reply_self_test(&app->link, app->request, KIT_EMBEDDED_FRAMES, app->failed, app->first_failed);
        return true;
    case KIT_NOTICE_PROFILE:
        reply_profile(app, app->request, KIT_PROBE_OFF);
        return true;
    case KIT_NOTICE_STREAM_FINISHED:
        kit_reply_stream_state(&app->link, app->request, KIT_STREAM_STATE_FINISHED, app->sent, app->lost);
        return true;
    default:
        return false;
    }
}

static void advance_clock(kit_app_t *app)
{
    const uint32_t now_us = kit_port_time_us();
    if (now_us - app->now_us > app->counters.pass_us_max) {
        app->counters.pass_us_max = now_us - app->now_us;
    }
    const uint32_t passed_us = now_us - app->now_us + app->clock_us;
    app->now_us = now_us;
    app->clock_ms = (uint16_t)(app->clock_ms + passed_us / 1000u);
    app->clock_us = (uint16_t)(passed_us % 1000u);
}

kit_status_t kit_app_init(kit_app_t *app)
{
    memset(app, 0, sizeof *app);
    kit_link_init(&app->link, app->rx, sizeof app->rx, app->tx, sizeof app->tx, KIT_APP_TX_TOTAL);
    kit_packet_init(&app->packet, app->packet_body, KIT_PACKET_BYTES, KIT_FRAMES_PER_PACKET, KIT_LENGTH_BYTES);
    app->now_us = kit_port_time_us();
    app->source_dropped = kit_source_dropped();
    const kit_status_t status = KIT_INIT(&app->storage);
    app->startup = (int8_t)status;
    return status;
}

bool kit_app_poll(kit_app_t *app)
{
    advance_clock(app);
    bool busy = transmit(app);
    if (kit_link_tx_room(&app->link)) {
        busy = notify(app) || busy;
        if (app->held && app->job == KIT_JOB_NONE) {
            start_encode(app);
        }
        busy = receive(app) || busy;
    }
    if (app->notice == KIT_NOTICE_NONE) {
        busy = step_job(app) || busy;
    }
    return busy;
}

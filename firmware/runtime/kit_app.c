#include "kit_app.h"

#include <string.h>

#include "kit_port.h"
#include "kit_reply.h"
#include KIT_VECTORS_HEADER

enum { JOB_NONE, JOB_ENCODE, JOB_SELF_TEST, JOB_STREAM };
enum { NOTICE_NONE, NOTICE_ERROR, NOTICE_SELF_TEST_RESULT, NOTICE_STREAM_FINISHED };

KIT_STATIC_ASSERT(KIT_APP_CHUNK_BYTES <= 255, chunk_counts_fit_a_byte);

static kit_codec_t *codec_of(kit_app_t *app)
{
    return KIT_CODEC(&app->storage);
}

/* ---- jobs ---- */

static void begin_job(kit_app_t *app, uint8_t job, uint8_t request)
{
    kit_codec_reset(codec_of(app));
    app->job = job;
    app->request = request;
    app->frame = 0;
    app->sample = 0;
}

static void fail_job(kit_app_t *app, int status)
{
    app->failure = (int8_t)status;
    app->failure_detail = app->frame;
    app->notice = NOTICE_ERROR;
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

static void start_encode(kit_app_t *app, const uint8_t *message)
{
    begin_job(app, JOB_ENCODE, message[1]);
    app->frame = kit_get_u16(message + KIT_ENCODE_FRAME_FRAME_AT);
    app->begun_us = app->now_us;
    const uint8_t *at = message + KIT_ENCODE_FRAME_SAMPLES_AT;
    for (uint32_t i = 0; i < KIT_FRAME_SAMPLES; i++, at += wire_sample_bytes()) {
        const kit_sample_t sample = wire_sample(at);
        (void)kit_codec_push(codec_of(app), &sample, 1); /* an empty ring holds a whole frame */
    }
}

static bool step_encode(kit_app_t *app)
{
    const kit_status_t status = kit_codec_poll(codec_of(app));
    if (status < 0) {
        app->job = JOB_NONE;
        fail_job(app, status);
    } else if (status == KIT_PACKET && kit_link_tx_idle(&app->link)) {
        const uint8_t *body = kit_codec_packet(codec_of(app), NULL);
        kit_reply_encoded(&app->link, app->frame, app->now_us - app->begun_us, body, KIT_PACKET_BYTES);
        app->job = JOB_NONE;
    }
    return true;
}

static void judge_self_test(kit_app_t *app, const uint8_t *packet)
{
    if (packet == NULL || memcmp(packet, KIT_EMBEDDED_PACKETS[app->frame], KIT_PACKET_BYTES) != 0) {
        if (app->failed == 0) {
            app->first_failed = app->frame;
        }
        app->failed++;
    }
    app->frame++;
    app->sample = 0;
    if (app->frame == KIT_EMBEDDED_FRAMES) {
        app->job = JOB_NONE;
        app->notice = NOTICE_SELF_TEST_RESULT;
    }
}

/* Push the rest of the embedded frame as far as one poll may; returns how many samples went in. */
static uint32_t push_embedded(kit_app_t *app, uint32_t samples_max)
{
    uint32_t count = (uint32_t)KIT_FRAME_SAMPLES - app->sample;
    if (count > samples_max) {
        count = samples_max;
    }
    const size_t taken = kit_codec_push(codec_of(app), &KIT_EMBEDDED_SAMPLES[app->frame][app->sample], count);
    app->sample = (uint16_t)(app->sample + taken);
    return (uint32_t)taken;
}

static bool step_self_test(kit_app_t *app)
{
    const kit_status_t status = kit_codec_poll(codec_of(app));
    if (status < 0) {
        judge_self_test(app, NULL);
    } else if (status == KIT_PACKET) {
        judge_self_test(app, kit_codec_packet(codec_of(app), NULL));
    } else if (status == KIT_IDLE) {
        (void)push_embedded(app, KIT_APP_REPLAY_SAMPLES_MAX);
    }
    return true;
}

static void start_stream(kit_app_t *app, const uint8_t *message)
{
    begin_job(app, JOB_STREAM, message[KIT_STREAM_START_REQUEST_AT]);
    app->mode = message[KIT_STREAM_START_MODE_AT];
    app->packets = kit_get_u32(message + KIT_STREAM_START_PACKETS_AT);
    app->packet_waits = false;
    app->pushed = 0;
    app->sent = 0;
    app->lost = 0;
    app->due_us = app->now_us;
    app->due_rest = 0;
    app->arrivals_count = 0;
}

/* A frame is done with, sent or lost; returns when its last sample arrived. */
static uint16_t finish_frame(kit_app_t *app)
{
    const uint16_t arrival = app->arrivals[0];
    app->arrivals_count--;
    memmove(app->arrivals, app->arrivals + 1, app->arrivals_count * sizeof app->arrivals[0]);
    app->packet_waits = false;
    return arrival;
}

static bool replay_ended(const kit_app_t *app)
{
    return app->packets != 0 && app->pushed == app->packets;
}

/* Push up to `samples_max` samples of the recording; `late_us` ago the last of them arrived. Returns how many went in. */
static uint32_t replay(kit_app_t *app, uint32_t samples_max, uint32_t late_us)
{
    if (app->arrivals_count == KIT_APP_ARRIVALS_MAX) {
        return 0;
    }
    const uint32_t taken = push_embedded(app, samples_max);
    if (app->sample == KIT_FRAME_SAMPLES) {
        app->arrivals[app->arrivals_count++] = (uint16_t)(app->clock_ms - late_us / 1000u);
        app->pushed++;
        app->sample = 0;
        app->frame = (uint16_t)(app->frame + 1u == KIT_EMBEDDED_FRAMES ? 0u : app->frame + 1u);
    }
    return taken;
}

/* Realtime: push every sample whose time has come. A sample that finds no room is lost like a sensor's would be; the
 * recording does not advance, so that every packet still equals its reference. */
static bool replay_due(kit_app_t *app)
{
    bool any = false;
    for (uint32_t i = 0; i < KIT_APP_REPLAY_SAMPLES_MAX && !replay_ended(app); i++) {
        const uint32_t late_us = app->now_us - app->due_us;
        if (late_us > 0x7FFFFFFFu) {
            break;
        }
        if (app->packet_waits && kit_codec_room(codec_of(app)) <= 1) {
            /* The line is slower than the sensor: give up the packet rather than samples. Its number is left out. */
            (void)kit_codec_packet(codec_of(app), NULL);
            (void)finish_frame(app);
            app->lost++;
            app->counters.tx_dropped++;
        }
        if (replay(app, 1, late_us) == 0) {
            app->counters.samples_dropped++;
        }
        app->due_us += 1000000000u / KIT_MODEL.sample_rate_mhz;
        app->due_rest += 1000000000u % KIT_MODEL.sample_rate_mhz;
        if (app->due_rest >= KIT_MODEL.sample_rate_mhz) {
            app->due_rest -= KIT_MODEL.sample_rate_mhz;
            app->due_us++;
        }
        any = true;
    }
    return any;
}

static bool step_stream(kit_app_t *app)
{
    const bool realtime = app->mode == KIT_STREAM_MODE_REALTIME;
    const bool pushed = realtime && replay_due(app);
    const kit_status_t status = kit_codec_poll(codec_of(app));
    if (status < 0) {
        (void)finish_frame(app);
        app->lost++;
        fail_job(app, status);
    } else if (status == KIT_PACKET) {
        app->packet_waits = true;
        if (kit_link_tx_idle(&app->link)) {
            const uint8_t *body = kit_codec_packet(codec_of(app), NULL);
            const uint16_t seq = (uint16_t)((app->sent + app->lost) & 0xFFFFu);
            kit_reply_packet(&app->link, seq, finish_frame(app), body, KIT_PACKET_BYTES);
            app->sent++;
            app->counters.tx_packets++;
        }
    }
    if (app->packets != 0 && app->sent + app->lost == app->packets && app->notice == NOTICE_NONE) {
        app->job = JOB_NONE;
        app->notice = NOTICE_STREAM_FINISHED;
        return true;
    }
    /* Fast: the next frame goes in when the codec has nothing else to do. */
    const bool replayed = !realtime && status == KIT_IDLE && !replay_ended(app) &&
                          replay(app, KIT_APP_REPLAY_SAMPLES_MAX, 0) != 0;
    return pushed || replayed || status != KIT_IDLE;
}

static bool step_job(kit_app_t *app)
{
    switch (app->job) {
    case JOB_ENCODE:
        return step_encode(app);
    case JOB_SELF_TEST:
        return step_self_test(app);
    case JOB_STREAM:
        return step_stream(app);
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
    *detail = type;
    if (expected == 0) {
        return KIT_ERR_COMMAND;
    }
    *detail = expected;
    if (bytes != expected) {
        return KIT_ERR_LENGTH;
    }
    if (type == KIT_MSG_HELLO_REQUEST && message[KIT_HELLO_REQUEST_PROTOCOL_AT] != KIT_PROTOCOL_VERSION) {
        *detail = KIT_PROTOCOL_VERSION;
        return KIT_ERR_PROTOCOL;
    }
    if (type == KIT_MSG_STREAM_START && message[KIT_STREAM_START_MODE_AT] > KIT_STREAM_MODE_FAST) {
        *detail = KIT_STREAM_MODE_FAST;
        return KIT_ERR_ARGUMENT;
    }
    *detail = 0;
    /* A stream may be started anew at any time, so that a host that lost its connection can begin again. */
    const bool restarts = type == KIT_MSG_STREAM_START && app->job == JOB_STREAM;
    const bool needs_codec = type == KIT_MSG_ENCODE_FRAME || type == KIT_MSG_SELF_TEST || type == KIT_MSG_STREAM_START;
    return needs_codec && !restarts && app->job != JOB_NONE ? KIT_ERR_STATE : KIT_OK;
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
        .frames_per_packet = KIT_FRAMES_PER_PACKET,
        .credits = KIT_APP_CREDITS,
    };
    switch (message[0]) {
    case KIT_MSG_HELLO_REQUEST:
        kit_reply_hello(&app->link, request, &KIT_MODEL, &facts);
        break;
    case KIT_MSG_ENCODE_FRAME:
        start_encode(app, message);
        break;
    case KIT_MSG_SELF_TEST:
        begin_job(app, JOB_SELF_TEST, request);
        app->failed = 0;
        app->first_failed = 0;
        break;
    case KIT_MSG_STREAM_START:
        start_stream(app, message);
        kit_reply_stream_state(&app->link, request, KIT_STREAM_STATE_RUNNING, 0, 0);
        break;
    case KIT_MSG_STREAM_STOP:
        if (app->job == JOB_STREAM) {
            app->job = JOB_NONE;
        }
        kit_reply_stream_state(&app->link, request, KIT_STREAM_STATE_STOPPED, app->sent, app->lost);
        break;
    default: /* KIT_MSG_COUNTERS_REQUEST: refusal() let nothing else through */
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

static bool receive(kit_app_t *app)
{
    if (app->chunk_at == app->chunk_bytes) {
        app->chunk_at = 0;
        app->chunk_bytes = (uint8_t)kit_port_read(app->chunk, sizeof app->chunk);
    }
    const bool any = app->chunk_bytes != 0;
    while (app->chunk_at < app->chunk_bytes) {
        const size_t bytes = kit_link_receive(&app->link, app->chunk[app->chunk_at++]);
        if (bytes != 0) {
            handle(app, app->rx, bytes); /* at most one: its answer needs the line */
            break;
        }
    }
    return any;
}

static bool notify(kit_app_t *app)
{
    const uint8_t notice = app->notice;
    app->notice = NOTICE_NONE;
    switch (notice) {
    case NOTICE_ERROR:
        kit_reply_error(&app->link, app->request, app->failure, app->failure_detail);
        return true;
    case NOTICE_SELF_TEST_RESULT:
        kit_reply_self_test(&app->link, app->request, KIT_EMBEDDED_FRAMES, app->failed, app->first_failed);
        return true;
    case NOTICE_STREAM_FINISHED:
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
    kit_link_init(&app->link, app->rx, sizeof app->rx, app->tx, sizeof app->tx);
    app->now_us = kit_port_time_us();
    return KIT_INIT(&app->storage);
}

bool kit_app_poll(kit_app_t *app)
{
    advance_clock(app);
    bool busy = transmit(app);
    if (kit_link_tx_idle(&app->link)) {
        busy = notify(app) || receive(app) || busy;
    }
    if (app->notice == NOTICE_NONE) {
        busy = step_job(app) || busy;
    }
    return busy;
}

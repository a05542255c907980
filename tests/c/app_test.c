/* The application over a fake port: every message, every refusal, streams that are too slow at either end. */
#include <string.h>

#include "check.h"
#include "fake_port.h"
#include "kit_app.h"
#include KIT_VECTORS_HEADER

#define PERIOD_US (1000000000u / KIT_SAMPLE_RATE_MHZ)
#define FRAME_US (KIT_FRAME_SAMPLES * PERIOD_US)
#define POLLS_MAX 1000000u
#define LINE_FAST 100000u

static kit_app_t app;
static kit_link_t host;
static uint8_t host_rx[KIT_APP_TX_TOTAL];
static uint8_t host_tx[KIT_LINK_TX_BYTES(KIT_APP_RX_BYTES)];

static void boot(void)
{
    memset(&fake_port, 0, sizeof fake_port);
    fake_port.write_max = LINE_FAST;
    fake_port.time_us = 0xFFFFFF00u; /* the clock may wrap at any time */
    kit_link_init(&host, host_rx, sizeof host_rx, host_tx, sizeof host_tx);
    CHECK(kit_app_init(&app) == KIT_OK);
}

static void post_bytes(const uint8_t *bytes, size_t count)
{
    CHECK(fake_port.to_device_bytes + count <= FAKE_LINE_BYTES);
    memcpy(fake_port.to_device + fake_port.to_device_bytes, bytes, count);
    fake_port.to_device_bytes += count;
}

static void post(const uint8_t *message, size_t bytes)
{
    memcpy(kit_link_message(&host), message, bytes);
    CHECK(kit_link_send(&host, bytes));
    size_t count;
    const uint8_t *line = kit_link_pending(&host, &count);
    post_bytes(line, count);
    kit_link_taken(&host, count);
}

/* Next message from the device, or NULL when there is none yet; it lies in host_rx. */
static const uint8_t *fetch(size_t *bytes)
{
    for (size_t i = 0; i < fake_port.from_device_bytes; i++) {
        *bytes = kit_link_receive(&host, fake_port.from_device[i]);
        if (*bytes != 0) {
            fake_port.from_device_bytes -= i + 1;
            memmove(fake_port.from_device, fake_port.from_device + i + 1, fake_port.from_device_bytes);
            return host_rx;
        }
    }
    fake_port.from_device_bytes = 0;
    return NULL;
}

/* Poll until the device says something; `step_us` passes with every poll. */
static const uint8_t *expect(uint8_t type, size_t expected_bytes, uint32_t step_us)
{
    size_t bytes;
    for (unsigned polls = 0;; polls++) {
        CHECK(polls < POLLS_MAX);
        (void)kit_app_poll(&app);
        fake_port.time_us += step_us;
        const uint8_t *message = fetch(&bytes);
        if (message != NULL) {
            CHECK(message[0] == type && bytes == expected_bytes);
            return message;
        }
    }
}

static void expect_error(uint8_t request, int status, uint16_t detail)
{
    const uint8_t *m = expect(KIT_MSG_ERROR, KIT_MSG_ERROR_BYTES, 1);
    CHECK(m[KIT_ERROR_REQUEST_AT] == request && (int8_t)m[KIT_ERROR_STATUS_AT] == status);
    CHECK(kit_get_u16(m + KIT_ERROR_DETAIL_AT) == detail);
}

static void expect_silence(void)
{
    size_t bytes;
    for (unsigned i = 0; i < 1000; i++) {
        (void)kit_app_poll(&app);
    }
    CHECK(!kit_app_poll(&app) && fetch(&bytes) == NULL);
}

static void expect_stream_state(uint8_t request, uint8_t state, uint32_t packets, uint32_t dropped)
{
    const uint8_t *m = expect(KIT_MSG_STREAM_STATE, KIT_MSG_STREAM_STATE_BYTES, 1);
    CHECK(m[KIT_STREAM_STATE_REQUEST_AT] == request && m[KIT_STREAM_STATE_STATE_AT] == state);
    CHECK(kit_get_u32(m + KIT_STREAM_STATE_PACKETS_AT) == packets);
    CHECK(kit_get_u32(m + KIT_STREAM_STATE_DROPPED_AT) == dropped);
}

static void start_stream(uint8_t request, uint8_t mode, uint8_t packets)
{
    const uint8_t start[] = {KIT_MSG_STREAM_START, request, mode, packets, 0, 0, 0};
    post(start, sizeof start);
    expect_stream_state(request, KIT_STREAM_STATE_RUNNING, 0, 0);
}

static uint32_t counter(size_t at)
{
    const uint8_t request[] = {KIT_MSG_COUNTERS_REQUEST, 99};
    post(request, sizeof request);
    const uint8_t *m = expect(KIT_MSG_COUNTERS, KIT_MSG_COUNTERS_BYTES, 0);
    CHECK(m[KIT_COUNTERS_REQUEST_AT] == 99);
    return kit_get_u32(m + at);
}

/* ---- one test per message ---- */

static void test_hello(void)
{
    boot();
    expect_silence();
    const uint8_t request[] = {KIT_MSG_HELLO_REQUEST, 42, KIT_PROTOCOL_VERSION};
    post(request, sizeof request);
    const uint8_t *m = expect(KIT_MSG_HELLO, KIT_MSG_HELLO_BYTES, 1);
    CHECK(m[KIT_HELLO_REQUEST_AT] == 42 && m[KIT_HELLO_PROTOCOL_AT] == KIT_PROTOCOL_VERSION);
    CHECK(memcmp(m + KIT_HELLO_BUILD_HASH_AT, KIT_BUILD_HASH, KIT_BUILD_HASH_BYTES) == 0);
    CHECK(memcmp(m + KIT_HELLO_TARGET_AT, "a-port-with-a-na", KIT_HELLO_TARGET_BYTES) == 0);
    CHECK(memcmp(m + KIT_HELLO_ENGINE_AT, "aot\0\0\0\0\0", KIT_HELLO_ENGINE_BYTES) == 0);
    CHECK(kit_get_u32(m + KIT_HELLO_SAMPLE_RATE_MHZ_AT) == KIT_SAMPLE_RATE_MHZ);
    CHECK(kit_get_u16(m + KIT_HELLO_FRAME_SAMPLES_AT) == KIT_FRAME_SAMPLES);
    CHECK(m[KIT_HELLO_SIDE_INFORMATION_AT] == KIT_SIDE_INFORMATION);
    CHECK(kit_get_u16(m + KIT_HELLO_LATENT_POSITIONS_AT) == KIT_LATENT_POSITIONS);
    CHECK(m[KIT_HELLO_EMBEDDING_DIM_AT] == KIT_EMBEDDING_DIM && m[KIT_HELLO_NUM_LEVELS_AT] == KIT_NUM_LEVELS);
    CHECK(m[KIT_HELLO_INDEX_BITS_AT] == KIT_INDEX_BITS);
    CHECK(kit_get_u16(m + KIT_HELLO_PACKET_BYTES_AT) == KIT_PACKET_BYTES);
    CHECK(kit_get_u16(m + KIT_HELLO_EMBEDDED_FRAMES_AT) == KIT_EMBEDDED_FRAMES);
    CHECK(kit_get_u32(m + KIT_HELLO_STATE_BYTES_AT) == sizeof(KIT_STORAGE_T));
    expect_silence();
}

static void post_frame(uint16_t number, size_t embedded)
{
    static uint8_t message[KIT_APP_RX_BYTES];
    const size_t sample_bytes = KIT_MODEL.sample_bits <= 16 ? 2 : 4;
    message[0] = KIT_MSG_ENCODE_FRAME;
    kit_put_u16(message + KIT_ENCODE_FRAME_FRAME_AT, number);
    for (size_t i = 0; i < KIT_FRAME_SAMPLES; i++) {
        uint8_t *at = message + KIT_ENCODE_FRAME_SAMPLES_AT + i * sample_bytes;
        if (sample_bytes == 2) {
            kit_put_u16(at, (uint16_t)KIT_EMBEDDED_SAMPLES[embedded][i]);
        } else {
            kit_put_u32(at, (uint32_t)KIT_EMBEDDED_SAMPLES[embedded][i]);
        }
    }
    post(message, KIT_MSG_ENCODE_FRAME_BYTES + KIT_FRAME_SAMPLES * sample_bytes);
}

static void test_encode_frame(void)
{
    boot();
    for (unsigned i = 0; i < 2u * KIT_EMBEDDED_FRAMES; i++) {
        const size_t frame = i % KIT_EMBEDDED_FRAMES;
        post_frame((uint16_t)(1000 + i), frame);
        const uint8_t *m = expect(KIT_MSG_ENCODED, KIT_MSG_ENCODED_BYTES + KIT_PACKET_BYTES, 1);
        CHECK(kit_get_u16(m + KIT_ENCODED_FRAME_AT) == 1000 + i);
        CHECK(kit_get_u32(m + KIT_ENCODED_TIME_US_AT) > 0 && kit_get_u32(m + KIT_ENCODED_TIME_US_AT) < POLLS_MAX);
        CHECK(memcmp(m + KIT_ENCODED_BODY_AT, KIT_EMBEDDED_PACKETS[frame], KIT_PACKET_BYTES) == 0);
    }
    expect_silence();
}

static void test_self_test(void)
{
    boot();
    const uint8_t request[] = {KIT_MSG_SELF_TEST, 5};
    post(request, sizeof request);
    const uint8_t *m = expect(KIT_MSG_SELF_TEST_RESULT, KIT_MSG_SELF_TEST_RESULT_BYTES, 1);
    CHECK(m[KIT_SELF_TEST_RESULT_REQUEST_AT] == 5);
    CHECK(kit_get_u16(m + KIT_SELF_TEST_RESULT_FRAMES_AT) == KIT_EMBEDDED_FRAMES);
    CHECK(kit_get_u16(m + KIT_SELF_TEST_RESULT_FAILED_AT) == 0);
    expect_silence();
}

/* The next message is packet `seq`, with the right body; returns its time. */
static uint16_t expect_packet(uint32_t seq, uint32_t step_us)
{
    const uint8_t *m = expect(KIT_MSG_PACKET, KIT_MSG_PACKET_BYTES + KIT_PACKET_BYTES, step_us);
    CHECK(kit_get_u16(m + KIT_PACKET_SEQ_AT) == seq);
    CHECK(memcmp(m + KIT_PACKET_BODY_AT, KIT_EMBEDDED_PACKETS[seq % KIT_EMBEDDED_FRAMES], KIT_PACKET_BYTES) == 0);
    return kit_get_u16(m + KIT_PACKET_TIME_MS_AT);
}

static void test_stream_fast(void)
{
    boot();
    start_stream(9, KIT_STREAM_MODE_FAST, 20);
    for (uint32_t seq = 0; seq < 20; seq++) {
        (void)expect_packet(seq, 1);
    }
    expect_stream_state(9, KIT_STREAM_STATE_FINISHED, 20, 0);
    expect_silence();
    CHECK(counter(KIT_COUNTERS_TX_PACKETS_AT) == 20);
    /* A line that takes three bytes at a time loses nothing: the recording waits. */
    fake_port.write_max = 3;
    start_stream(10, KIT_STREAM_MODE_FAST, 5);
    for (uint32_t seq = 0; seq < 5; seq++) {
        (void)expect_packet(seq, 1);
    }
    expect_stream_state(10, KIT_STREAM_STATE_FINISHED, 5, 0);
}

static void test_stream_realtime(void)
{
    boot();
    start_stream(11, KIT_STREAM_MODE_REALTIME, 4);
    uint16_t last_ms = 0;
    for (uint32_t seq = 0; seq < 4; seq++) {
        const uint16_t time_ms = expect_packet(seq, PERIOD_US / 50u + 1u);
        const uint16_t passed_ms = (uint16_t)(time_ms - last_ms);
        CHECK(seq == 0 || (passed_ms + 1u >= FRAME_US / 1000u && passed_ms <= FRAME_US / 1000u + 1u));
        last_ms = time_ms;
    }
    expect_stream_state(11, KIT_STREAM_STATE_FINISHED, 4, 0);
    CHECK(counter(KIT_COUNTERS_SAMPLES_DROPPED_AT) == 0);
}

static void test_stream_stop(void)
{
    boot();
    const uint8_t stop[] = {KIT_MSG_STREAM_STOP, 13};
    post(stop, sizeof stop);
    expect_stream_state(13, KIT_STREAM_STATE_STOPPED, 0, 0);
    start_stream(12, KIT_STREAM_MODE_FAST, 0);
    for (uint32_t seq = 0; seq < 3u * KIT_EMBEDDED_FRAMES; seq++) {
        (void)expect_packet(seq, 1);
    }
    /* Begun anew, it counts from 0. */
    start_stream(14, KIT_STREAM_MODE_FAST, 0);
    (void)expect_packet(0, 1);
    post(stop, sizeof stop);
    expect_stream_state(13, KIT_STREAM_STATE_STOPPED, 1, 0);
    expect_silence();
}

/* A line on which a packet takes two frames: packets are left out, with their numbers; no sample is lost. */
static void test_slow_line(void)
{
    boot();
    const uint32_t wanted = 12;
    const uint32_t byte_us = 2u * FRAME_US / (KIT_MSG_PACKET_BYTES + KIT_PACKET_BYTES);
    start_stream(15, KIT_STREAM_MODE_REALTIME, (uint8_t)wanted);
    uint32_t next = 0;
    uint32_t packets = 0;
    for (uint32_t time_us = 0;; time_us += PERIOD_US / 2u) {
        /* The core is fast: many polls while hardly any time passes and the line takes nothing. */
        fake_port.write_max = 0;
        for (unsigned i = 0; i < 200; i++) {
            (void)kit_app_poll(&app);
        }
        fake_port.time_us += PERIOD_US / 2u;
        if (time_us >= byte_us) {
            time_us = 0;
            fake_port.write_max = 1;
            (void)kit_app_poll(&app);
        }
        size_t bytes;
        const uint8_t *m = fetch(&bytes);
        if (m != NULL && m[0] == KIT_MSG_PACKET) {
            const uint32_t seq = kit_get_u16(m + KIT_PACKET_SEQ_AT);
            const uint8_t *want = KIT_EMBEDDED_PACKETS[seq % KIT_EMBEDDED_FRAMES];
            CHECK(seq >= next && memcmp(m + KIT_PACKET_BODY_AT, want, KIT_PACKET_BYTES) == 0);
            next = seq + 1;
            packets++;
        } else if (m != NULL) {
            CHECK(m[0] == KIT_MSG_STREAM_STATE && m[KIT_STREAM_STATE_STATE_AT] == KIT_STREAM_STATE_FINISHED);
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_PACKETS_AT) == packets);
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_DROPPED_AT) == wanted - packets);
            CHECK(packets >= 4 && packets <= 8);
            break;
        }
    }
    fake_port.write_max = LINE_FAST;
    CHECK(counter(KIT_COUNTERS_SAMPLES_DROPPED_AT) == 0);
}

static void test_slow_core(void)
{
    boot();
    start_stream(16, KIT_STREAM_MODE_REALTIME, 3);
    /* A poll every eight samples is far too slow for the encoder; the ring overflows, the packets stay right. */
    for (uint32_t seq = 0; seq < 3; seq++) {
        (void)expect_packet(seq, 8u * PERIOD_US);
    }
    expect_stream_state(16, KIT_STREAM_STATE_FINISHED, 3, 0);
    CHECK(counter(KIT_COUNTERS_SAMPLES_DROPPED_AT) > 0);
}

/* ---- refusals ---- */

static void test_refusals(void)
{
    boot();
    const uint8_t unknown[] = {0x55, 3, 1, 1};
    post(unknown, sizeof unknown);
    expect_error(3, KIT_ERR_COMMAND, 0x55);
    const uint8_t bare[] = {KIT_MSG_SELF_TEST};
    post(bare, sizeof bare);
    expect_error(0, KIT_ERR_LENGTH, KIT_MSG_SELF_TEST_BYTES);
    const uint8_t too_long[] = {KIT_MSG_STREAM_STOP, 8, 0};
    post(too_long, sizeof too_long);
    expect_error(8, KIT_ERR_LENGTH, KIT_MSG_STREAM_STOP_BYTES);
    const uint8_t short_frame[] = {KIT_MSG_ENCODE_FRAME, 0xCD, 0xAB, 0, 0};
    post(short_frame, sizeof short_frame);
    const size_t sample_bytes = KIT_MODEL.sample_bits <= 16 ? 2 : 4;
    expect_error(0xCD, KIT_ERR_LENGTH, (uint16_t)(KIT_MSG_ENCODE_FRAME_BYTES + KIT_FRAME_SAMPLES * sample_bytes));
    const uint8_t other_protocol[] = {KIT_MSG_HELLO_REQUEST, 4, KIT_PROTOCOL_VERSION + 1};
    post(other_protocol, sizeof other_protocol);
    expect_error(4, KIT_ERR_PROTOCOL, KIT_PROTOCOL_VERSION);
    const uint8_t other_mode[] = {KIT_MSG_STREAM_START, 6, KIT_STREAM_MODE_FAST + 1, 1, 0, 0, 0};
    post(other_mode, sizeof other_mode);
    expect_error(6, KIT_ERR_ARGUMENT, KIT_STREAM_MODE_FAST);
    expect_silence();
}

static void test_busy(void)
{
    boot();
    start_stream(20, KIT_STREAM_MODE_REALTIME, 0);
    const uint8_t self_test[] = {KIT_MSG_SELF_TEST, 21};
    post(self_test, sizeof self_test);
    expect_error(21, KIT_ERR_STATE, 0);
    post_frame(0x1234, 0);
    expect_error(0x34, KIT_ERR_STATE, 0);
    /* What needs no codec is answered meanwhile. */
    CHECK(counter(KIT_COUNTERS_RX_FRAMES_AT) == 4);
    const uint8_t stop[] = {KIT_MSG_STREAM_STOP, 22};
    post(stop, sizeof stop);
    expect_stream_state(22, KIT_STREAM_STATE_STOPPED, 0, 0);
    post(self_test, sizeof self_test);
    const uint8_t start[] = {KIT_MSG_STREAM_START, 23, KIT_STREAM_MODE_FAST, 1, 0, 0, 0};
    post(start, sizeof start);
    expect_error(23, KIT_ERR_STATE, 0);
    const uint8_t *m = expect(KIT_MSG_SELF_TEST_RESULT, KIT_MSG_SELF_TEST_RESULT_BYTES, 1);
    CHECK(m[KIT_SELF_TEST_RESULT_REQUEST_AT] == 21);
    start_stream(24, KIT_STREAM_MODE_FAST, 1);
    (void)expect_packet(0, 1);
}

static void test_damaged_line(void)
{
    boot();
    fake_port.overruns = 7;
    unsigned state = 3;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t byte = random_byte(&state);
        byte = byte < 16 ? 0 : byte;
        post_bytes(&byte, 1);
        (void)kit_app_poll(&app);
    }
    const uint8_t delimiter = 0;
    post_bytes(&delimiter, 1);
    expect_silence();
    CHECK(counter(KIT_COUNTERS_RX_BAD_CRC_AT) + counter(KIT_COUNTERS_RX_BAD_LENGTH_AT) > 100);
    CHECK(counter(KIT_COUNTERS_RX_LOST_AT) == 7);
    CHECK(counter(KIT_COUNTERS_RX_FRAMES_AT) == 4);
    test_hello();
}

int main(void)
{
    test_hello();
    test_encode_frame();
    test_self_test();
    test_stream_fast();
    test_stream_realtime();
    test_stream_stop();
    test_slow_line();
    test_slow_core();
    test_refusals();
    test_damaged_line();
    test_busy();
    puts("app: all checks hold");
    return 0;
}

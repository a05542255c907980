/* The application over a fake port: every message, every refusal, streams that are too slow at either end. */
#include <string.h>

#include "app_peer.h"
#include "check.h"
#include KIT_VECTORS_HEADER

#define PERIOD_US (1000000000u / KIT_SAMPLE_RATE_MHZ)
#define FRAME_US (KIT_FRAME_SAMPLES * PERIOD_US)
#define PACKET_US (KIT_FRAMES_PER_PACKET * FRAME_US)

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
    CHECK(strncmp((const char *)m + KIT_HELLO_ENGINE_AT, kit_engine_name(), KIT_HELLO_ENGINE_BYTES) == 0);
    CHECK(kit_get_u32(m + KIT_HELLO_SAMPLE_RATE_MHZ_AT) == KIT_SAMPLE_RATE_MHZ);
    CHECK(kit_get_u16(m + KIT_HELLO_FRAME_SAMPLES_AT) == KIT_FRAME_SAMPLES);
    CHECK(m[KIT_HELLO_SIDE_INFORMATION_AT] == KIT_SIDE_INFORMATION);
    CHECK(kit_get_u16(m + KIT_HELLO_LATENT_POSITIONS_AT) == KIT_LATENT_POSITIONS);
    CHECK(m[KIT_HELLO_EMBEDDING_DIM_AT] == KIT_EMBEDDING_DIM && m[KIT_HELLO_NUM_LEVELS_AT] == KIT_NUM_LEVELS);
    CHECK(m[KIT_HELLO_INDEX_BITS_AT] == KIT_INDEX_BITS);
    CHECK(kit_get_u16(m + KIT_HELLO_PACKET_BYTES_AT) == KIT_FRAMES_PER_PACKET * KIT_PACKET_BYTES);
    CHECK(kit_get_u16(m + KIT_HELLO_FRAME_BYTES_AT) == KIT_PACKET_BYTES);
    CHECK(m[KIT_HELLO_FRAMES_PER_PACKET_AT] == KIT_FRAMES_PER_PACKET);
    CHECK(m[KIT_HELLO_CREDITS_AT] == KIT_APP_CREDITS && m[KIT_HELLO_PROBES_AT] == 0);
    CHECK(kit_get_u16(m + KIT_HELLO_EMBEDDED_FRAMES_AT) == KIT_EMBEDDED_FRAMES);
    CHECK(kit_get_u32(m + KIT_HELLO_STATE_BYTES_AT) == sizeof(KIT_STORAGE_T));
    expect_silence();
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
        CHECK(seq == 0 || (passed_ms + 1u >= PACKET_US / 1000u && passed_ms <= PACKET_US / 1000u + 1u));
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
    for (uint32_t seq = 0; seq < KIT_EMBEDDED_FRAMES; seq++) {
        (void)expect_packet(seq, 1);
    }
    /* Begun anew, it counts from 0. */
    start_stream(14, KIT_STREAM_MODE_FAST, 0);
    (void)expect_packet(0, 1);
    post(stop, sizeof stop);
    expect_stream_state(13, KIT_STREAM_STATE_STOPPED, 1, 0);
    expect_silence();
}

/* A line on which a packet takes twice its duration: packets are left out, with their numbers; no sample is lost. */
static void test_slow_line(void)
{
    boot();
    const uint32_t wanted = 14;
    const uint32_t byte_us = 2u * PACKET_US / (KIT_MSG_PACKET_BYTES + KIT_APP_PACKET_BYTES);
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
            CHECK(seq >= next);
            check_packet(m);
            next = seq + 1;
            packets++;
        } else if (m != NULL) {
            CHECK(m[0] == KIT_MSG_STREAM_STATE && m[KIT_STREAM_STATE_STATE_AT] == KIT_STREAM_STATE_FINISHED);
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_PACKETS_AT) == packets);
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_DROPPED_AT) == wanted - packets);
            CHECK(packets >= 5 && packets <= 12);
            break;
        }
    }
    fake_port.write_max = LINE_FAST;
    CHECK(counter(KIT_COUNTERS_SAMPLES_DROPPED_AT) == 0);
    CHECK(counter(KIT_COUNTERS_TX_DROPPED_AT) == wanted - packets);
    CHECK(counter(KIT_COUNTERS_PASS_US_MAX_AT) >= PERIOD_US / 2u);
}

/* Frames arrive one behind the other; as many as there are credits wait without a message being lost, and what the host
 * sends behind them is answered afterwards. */
static void test_credits(void)
{
    boot();
    for (uint16_t round = 0; round < 3; round++) {
        for (uint16_t i = 0; i < KIT_APP_CREDITS; i++) {
            post_frame((uint16_t)(100u * round + i), i % KIT_EMBEDDED_FRAMES);
        }
        const uint8_t behind[] = {KIT_MSG_COUNTERS_REQUEST, 7};
        post(behind, sizeof behind);
        for (uint16_t i = 0; i < KIT_APP_CREDITS; i++) {
            const uint8_t *m = expect(KIT_MSG_ENCODED, KIT_MSG_ENCODED_BYTES + KIT_PACKET_BYTES, 1);
            CHECK(kit_get_u16(m + KIT_ENCODED_FRAME_AT) == 100u * round + i);
            const uint8_t *want = KIT_EMBEDDED_PACKETS[i % KIT_EMBEDDED_FRAMES];
            CHECK(memcmp(m + KIT_ENCODED_BODY_AT, want, KIT_PACKET_BYTES) == 0);
            if (i + 2u == KIT_APP_CREDITS) {
                /* The codec took the last frame, and with it the buffer became free: the request behind it is next. */
                (void)expect(KIT_MSG_COUNTERS, KIT_MSG_COUNTERS_BYTES, 1);
            }
        }
    }
    expect_silence();
    CHECK(counter(KIT_COUNTERS_REFUSED_AT) == 0);
}

/* Several messages queue while the line takes nothing, and none is lost. */
static void test_transmit_queue(void)
{
    boot();
    fake_port.write_max = 0;
    const uint8_t request[] = {KIT_MSG_STREAM_STOP, 1};
    for (unsigned i = 0; i < 20; i++) {
        post(request, sizeof request);
    }
    for (unsigned i = 0; i < 100; i++) {
        (void)kit_app_poll(&app);
    }
    fake_port.write_max = LINE_FAST;
    for (unsigned i = 0; i < 20; i++) {
        expect_stream_state(1, KIT_STREAM_STATE_STOPPED, 0, 0);
    }
    expect_silence();
    const uint8_t counters[] = {KIT_MSG_COUNTERS_REQUEST, 2};
    post(counters, sizeof counters);
    const uint8_t *m = expect(KIT_MSG_COUNTERS, KIT_MSG_COUNTERS_BYTES, 0);
    CHECK(kit_get_u16(m + KIT_COUNTERS_TX_QUEUE_BYTES_AT) == sizeof app.tx);
    CHECK(kit_get_u16(m + KIT_COUNTERS_TX_QUEUE_MAX_AT) <= sizeof app.tx);
    CHECK(kit_get_u16(m + KIT_COUNTERS_TX_QUEUE_MAX_AT) > 2u * KIT_MSG_STREAM_STATE_BYTES);
    /* The fake port says more than the fields hold. */
    CHECK(kit_get_u16(m + KIT_COUNTERS_RX_QUEUE_MAX_AT) == 0xFFFFu);
    CHECK(kit_get_u16(m + KIT_COUNTERS_RX_QUEUE_BYTES_AT) == 0xFFFFu);
}

/* The same packets without framing, for a transport of its own. */
static void test_bare_packet(void)
{
    static KIT_STORAGE_T storage;
    static uint8_t body[KIT_APP_PACKET_BYTES];
    uint8_t bare[KIT_BARE_BYTES(KIT_APP_PACKET_BYTES)];
    kit_packet_t packet;
    CHECK(KIT_INIT(&storage) == KIT_OK);
    kit_packet_init(&packet, body, KIT_PACKET_BYTES, KIT_FRAMES_PER_PACKET, KIT_LENGTH_BYTES);
    uint32_t packets = 0;
    for (uint32_t frame = 0; frame < 3u * KIT_FRAMES_PER_PACKET; frame++) {
        const size_t number = frame % KIT_EMBEDDED_FRAMES;
        const kit_sample_t *samples = KIT_EMBEDDED_SAMPLES[number];
        CHECK(kit_codec_push(KIT_CODEC(&storage), samples, KIT_FRAME_SAMPLES) == KIT_FRAME_SAMPLES);
        while (kit_codec_poll(KIT_CODEC(&storage)) != KIT_PACKET) {
        }
        const uint8_t *coded = kit_codec_packet(KIT_CODEC(&storage), NULL);
        kit_packet_add(&packet, coded, KIT_PACKET_BYTES, (uint16_t)(frame + 500u));
        if (kit_packet_full(&packet)) {
            const size_t bytes = kit_packet_bare(&packet, bare);
            CHECK(bytes == sizeof bare && bytes == 4u + KIT_APP_PACKET_BYTES);
            CHECK(kit_get_u16(bare + KIT_BARE_SEQ_AT) == packets);
            CHECK(kit_get_u16(bare + KIT_BARE_TIME_MS_AT) == frame + 500u);
            check_frames(bare + KIT_BARE_BODY_AT, packets);
            kit_packet_next(&packet);
            packets++;
        }
    }
    CHECK(packets == 3);
    /* A lost frame spoils its packet and no other; nothing is added to a full one. */
    for (uint32_t i = 0; i < KIT_FRAMES_PER_PACKET; i++) {
        kit_packet_add(&packet, i == 0 ? NULL : KIT_EMBEDDED_PACKETS[0], KIT_PACKET_BYTES, 9);
    }
    kit_packet_add(&packet, KIT_EMBEDDED_PACKETS[0], KIT_PACKET_BYTES, 10);
    CHECK(kit_packet_full(&packet) && kit_packet_broken(&packet) && packet.time_ms == 9 && packet.seq == 3);
    kit_packet_next(&packet);
    CHECK(!kit_packet_full(&packet) && !kit_packet_broken(&packet) && packet.seq == 4);
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
    const uint8_t first_protocol[] = {KIT_MSG_HELLO_REQUEST, 5, 1};
    post(first_protocol, sizeof first_protocol);
    expect_error(5, KIT_ERR_PROTOCOL, KIT_PROTOCOL_VERSION);
    const uint8_t longer_hello[] = {KIT_MSG_HELLO_REQUEST, 6, KIT_PROTOCOL_VERSION + 1, 1, 2, 3};
    post(longer_hello, sizeof longer_hello);
    expect_error(6, KIT_ERR_PROTOCOL, KIT_PROTOCOL_VERSION);
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
    test_credits();
    test_transmit_queue();
    test_bare_packet();
    test_slow_core();
    test_refusals();
    test_damaged_line();
    test_busy();
    puts("app: all checks hold");
    return 0;
}

/* The application over an engine that fails on demand: a lost frame costs its packet and nothing else. The linker puts
 * the functions named __wrap_ in the place of those they wrap. */
#include "app_peer.h"
#include "check.h"
#include "kit_engine.h"
#include KIT_VECTORS_HEADER

void __real_kit_engine_begin(kit_engine_t *engine);
void __wrap_kit_engine_begin(kit_engine_t *engine);
int __real_kit_engine_step(kit_engine_t *engine);
int __wrap_kit_engine_step(kit_engine_t *engine);

static uint32_t begun;    /* frames since the device was switched on */
static uint32_t fails_at; /* number of the frame that fails, from 1; 0: none */

void __wrap_kit_engine_begin(kit_engine_t *engine)
{
    begun++;
    __real_kit_engine_begin(engine);
}

int __wrap_kit_engine_step(kit_engine_t *engine)
{
    return begun == fails_at ? KIT_ERR_ENGINE : __real_kit_engine_step(engine);
}

static void boot_failing(uint32_t frame)
{
    begun = 0;
    fails_at = frame;
    boot();
}

/* Frame 5 fails: its packet is left out as a whole, under its own number; the frames of all others stand where they
 * belong. */
static void test_stream(void)
{
    const uint32_t packets = 6;
    const uint32_t lost = 4u / KIT_FRAMES_PER_PACKET;
    boot_failing(5);
    start_stream(3, KIT_STREAM_MODE_FAST, (uint8_t)packets);
    uint32_t errors = 0;
    uint32_t next = 0;
    for (;;) {
        size_t bytes;
        (void)kit_app_poll(&app);
        const uint8_t *m = fetch(&bytes);
        if (m == NULL) {
            continue;
        }
        if (m[0] == KIT_MSG_ERROR) {
            CHECK(m[KIT_ERROR_REQUEST_AT] == 3 && (int8_t)m[KIT_ERROR_STATUS_AT] == KIT_ERR_ENGINE);
            errors++;
        } else if (m[0] == KIT_MSG_PACKET) {
            next += next == lost;
            CHECK(kit_get_u16(m + KIT_PACKET_SEQ_AT) == next && next < packets);
            check_packet(m);
            next++;
        } else {
            CHECK(m[0] == KIT_MSG_STREAM_STATE && m[KIT_STREAM_STATE_STATE_AT] == KIT_STREAM_STATE_FINISHED);
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_PACKETS_AT) == packets - 1u);
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_DROPPED_AT) == 1);
            break;
        }
    }
    CHECK(errors == 1 && next == packets);
    CHECK(counter(KIT_COUNTERS_TX_PACKETS_AT) == packets - 1u && counter(KIT_COUNTERS_TX_DROPPED_AT) == 0);
}

/* The same while the packet before still waits for a line that takes nothing: that one is given up, no frame moves into
 * another's place. */
static void test_stream_behind_a_full_queue(void)
{
    const uint32_t packets = 12;
    boot_failing(8u * KIT_FRAMES_PER_PACKET);
    start_stream(4, KIT_STREAM_MODE_FAST, (uint8_t)packets);
    fake_port.write_max = 0;
    for (unsigned i = 0; i < 100000u; i++) {
        (void)kit_app_poll(&app);
    }
    fake_port.write_max = LINE_FAST;
    uint32_t received = 0;
    for (;;) {
        size_t bytes;
        (void)kit_app_poll(&app);
        const uint8_t *m = fetch(&bytes);
        if (m != NULL && m[0] == KIT_MSG_PACKET) {
            check_packet(m);
            received++;
        } else if (m != NULL && m[0] == KIT_MSG_STREAM_STATE) {
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_PACKETS_AT) == received);
            CHECK(kit_get_u32(m + KIT_STREAM_STATE_DROPPED_AT) == packets - received);
            break;
        }
    }
    CHECK(received >= packets - 2u && received < packets);
}

static void test_encode_frame(void)
{
    boot_failing(2);
    for (uint16_t i = 0; i < 2; i++) {
        post_frame((uint16_t)(700 + i), 0);
    }
    const uint8_t *m = expect(KIT_MSG_ENCODED, KIT_MSG_ENCODED_BYTES + KIT_PACKET_BYTES, 1);
    CHECK(kit_get_u16(m + KIT_ENCODED_FRAME_AT) == 700);
    expect_error((uint8_t)(701 & 0xFF), KIT_ERR_ENGINE, 701);
    post_frame(702, 1);
    m = expect(KIT_MSG_ENCODED, KIT_MSG_ENCODED_BYTES + KIT_PACKET_BYTES, 1);
    CHECK(kit_get_u16(m + KIT_ENCODED_FRAME_AT) == 702);
    expect_silence();
}

static void test_self_test(void)
{
    const uint8_t request[] = {KIT_MSG_SELF_TEST, 8};
    boot_failing(2);
    post(request, sizeof request);
    const uint8_t *m = expect(KIT_MSG_SELF_TEST_RESULT, KIT_MSG_SELF_TEST_RESULT_BYTES, 1);
    CHECK(kit_get_u16(m + KIT_SELF_TEST_RESULT_FRAMES_AT) == KIT_EMBEDDED_FRAMES);
    CHECK(kit_get_u16(m + KIT_SELF_TEST_RESULT_FAILED_AT) == 1);
    CHECK(kit_get_u16(m + KIT_SELF_TEST_RESULT_FIRST_FAILED_AT) == 1);
}

int main(void)
{
    test_stream();
    test_stream_behind_a_full_queue();
    test_encode_frame();
    test_self_test();
    puts("engine: all checks hold");
    return 0;
}

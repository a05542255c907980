#include "app_peer.h"

#include <string.h>

#include "check.h"
#include KIT_VECTORS_HEADER

kit_app_t app;
static kit_link_t host;
static uint8_t host_rx[KIT_APP_TX_TOTAL];
static uint8_t host_tx[KIT_LINK_TX_BYTES(KIT_APP_RX_BYTES)];

void boot(void)
{
    memset(&fake_port, 0, sizeof fake_port);
    fake_port.write_max = LINE_FAST;
    fake_port.time_us = 0xFFFFFF00u; /* the clock may wrap at any time */
    kit_link_init(&host, host_rx, sizeof host_rx, host_tx, sizeof host_tx, KIT_APP_RX_BYTES);
    CHECK(kit_app_init(&app) == KIT_OK);
}

void post_bytes(const uint8_t *bytes, size_t count)
{
    CHECK(fake_port.to_device_bytes + count <= FAKE_LINE_BYTES);
    memcpy(fake_port.to_device + fake_port.to_device_bytes, bytes, count);
    fake_port.to_device_bytes += count;
}

void post(const uint8_t *message, size_t bytes)
{
    memcpy(kit_link_message(&host), message, bytes);
    CHECK(kit_link_send(&host, bytes));
    size_t count;
    const uint8_t *line = kit_link_pending(&host, &count);
    post_bytes(line, count);
    kit_link_taken(&host, count);
}

/* Next message from the device, or NULL when there is none yet; it lies in host_rx. */
const uint8_t *fetch(size_t *bytes)
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
const uint8_t *expect(uint8_t type, size_t expected_bytes, uint32_t step_us)
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

void expect_error(uint8_t request, int status, uint16_t detail)
{
    const uint8_t *m = expect(KIT_MSG_ERROR, KIT_MSG_ERROR_BYTES, 1);
    CHECK(m[KIT_ERROR_REQUEST_AT] == request && (int8_t)m[KIT_ERROR_STATUS_AT] == status);
    CHECK(kit_get_u16(m + KIT_ERROR_DETAIL_AT) == detail);
}

void expect_silence(void)
{
    size_t bytes;
    for (unsigned i = 0; i < 1000; i++) {
        (void)kit_app_poll(&app);
    }
    CHECK(!kit_app_poll(&app) && fetch(&bytes) == NULL);
}

void expect_stream_state(uint8_t request, uint8_t state, uint32_t packets, uint32_t dropped)
{
    const uint8_t *m = expect(KIT_MSG_STREAM_STATE, KIT_MSG_STREAM_STATE_BYTES, 1);
    CHECK(m[KIT_STREAM_STATE_REQUEST_AT] == request && m[KIT_STREAM_STATE_STATE_AT] == state);
    CHECK(kit_get_u32(m + KIT_STREAM_STATE_PACKETS_AT) == packets);
    CHECK(kit_get_u32(m + KIT_STREAM_STATE_DROPPED_AT) == dropped);
}

void start_stream(uint8_t request, uint8_t mode, uint8_t packets)
{
    const uint8_t start[] = {KIT_MSG_STREAM_START, request, mode, packets, 0, 0, 0};
    post(start, sizeof start);
    expect_stream_state(request, KIT_STREAM_STATE_RUNNING, 0, 0);
}

uint32_t counter(size_t at)
{
    const uint8_t request[] = {KIT_MSG_COUNTERS_REQUEST, 99};
    post(request, sizeof request);
    const uint8_t *m = expect(KIT_MSG_COUNTERS, KIT_MSG_COUNTERS_BYTES, 0);
    CHECK(m[KIT_COUNTERS_REQUEST_AT] == 99);
    return kit_get_u32(m + at);
}

void post_frame(uint16_t number, size_t embedded)
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

/* A packet's body holds the frames that its number says. */
void check_frames(const uint8_t *body, uint32_t seq)
{
    for (uint32_t i = 0; i < KIT_FRAMES_PER_PACKET; i++) {
        const uint8_t *want = KIT_EMBEDDED_PACKETS[(seq * KIT_FRAMES_PER_PACKET + i) % KIT_EMBEDDED_FRAMES];
        CHECK(memcmp(body + i * KIT_PACKET_BYTES, want, KIT_PACKET_BYTES) == 0);
    }
}

void check_packet(const uint8_t *message)
{
    check_frames(message + KIT_PACKET_BODY_AT, kit_get_u16(message + KIT_PACKET_SEQ_AT));
}

/* The next message is packet `seq`, with the right body; returns its time. */
uint16_t expect_packet(uint32_t seq, uint32_t step_us)
{
    const uint8_t *m = expect(KIT_MSG_PACKET, KIT_MSG_PACKET_BYTES + KIT_APP_PACKET_BYTES, step_us);
    CHECK(kit_get_u16(m + KIT_PACKET_SEQ_AT) == seq);
    check_packet(m);
    return kit_get_u16(m + KIT_PACKET_TIME_MS_AT);
}

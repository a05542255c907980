/* The application with the sensor of docs/sensor.md: its interrupt comes once per sample period, whatever the main loop is
 * doing, and the packets are those of the recording. */
#include <string.h>

#include "check.h"
#include "fake_port.h"
#include "kit_app.h"
#include "my_afe.h"
#include KIT_VECTORS_HEADER

#define PERIOD_US (1000000000u / KIT_SAMPLE_RATE_MHZ)
#define PACKETS 6u
#define TURN_US 900u
#define TURNS_MAX 10000000u

static kit_app_t app;
static kit_link_t host;
static uint8_t host_rx[KIT_APP_TX_TOTAL];
static uint8_t host_tx[KIT_LINK_TX_BYTES(16)];
static int sampling;
static size_t sampled;

void my_afe_start(void)
{
    sampling = 1;
    sampled = 0;
}

void my_afe_stop(void)
{
    sampling = 0;
}

int32_t my_afe_sample(void)
{
    const size_t at = sampled++;
    return KIT_EMBEDDED_SAMPLES[at / KIT_FRAME_SAMPLES % KIT_EMBEDDED_FRAMES][at % KIT_FRAME_SAMPLES];
}

static void start(void)
{
    const uint8_t message[] = {KIT_MSG_STREAM_START, 1, KIT_STREAM_MODE_REALTIME, PACKETS, 0, 0, 0};
    kit_link_init(&host, host_rx, sizeof host_rx, host_tx, sizeof host_tx, 16);
    memcpy(kit_link_message(&host), message, sizeof message);
    CHECK(kit_link_send(&host, sizeof message));
    const uint8_t *line = kit_link_pending(&host, &fake_port.to_device_bytes);
    memcpy(fake_port.to_device, line, fake_port.to_device_bytes);
}

/* A packet or the end of the stream; returns whether it was the end. */
static int check_message(uint32_t *packets)
{
    if (host_rx[0] == KIT_MSG_PACKET) {
        CHECK(kit_get_u16(host_rx + KIT_PACKET_SEQ_AT) == *packets);
        for (uint32_t i = 0; i < KIT_FRAMES_PER_PACKET; i++) {
            const uint8_t *want = KIT_EMBEDDED_PACKETS[(*packets * KIT_FRAMES_PER_PACKET + i) % KIT_EMBEDDED_FRAMES];
            CHECK(memcmp(host_rx + KIT_PACKET_BODY_AT + i * KIT_PACKET_BYTES, want, KIT_PACKET_BYTES) == 0);
        }
        (*packets)++;
    }
    return host_rx[0] == KIT_MSG_STREAM_STATE && host_rx[KIT_STREAM_STATE_STATE_AT] == KIT_STREAM_STATE_FINISHED;
}

int main(void)
{
    fake_port.write_max = FAKE_LINE_BYTES;
    CHECK(kit_app_init(&app) == KIT_OK);
    start();
    uint32_t packets = 0;
    int finished = 0;
    uint32_t due_us = PERIOD_US;
    for (unsigned turn = 0; !finished; turn++) {
        CHECK(turn < TURNS_MAX);
        (void)kit_app_poll(&app);
        fake_port.time_us += TURN_US;
        for (; sampling && due_us <= fake_port.time_us; due_us += PERIOD_US) {
            my_afe_irq();
        }
        for (size_t i = 0; i < fake_port.from_device_bytes; i++) {
            finished |= kit_link_receive(&host, fake_port.from_device[i]) != 0 && check_message(&packets);
        }
        fake_port.from_device_bytes = 0;
    }
    CHECK(packets == PACKETS && !sampling);
    puts("sensor: all checks hold");
    return 0;
}

/* The other end of the application's line in C tests, over the fake port: sends, polls the application, and checks what
 * comes back. */
#ifndef APP_PEER_H
#define APP_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "fake_port.h"
#include "kit_app.h"

#define LINE_FAST 100000u /* bytes that a write takes: more than it is ever given */
#define POLLS_MAX 1000000u /* before the device is taken for dead */

extern kit_app_t app;

/* A device that was just switched on. */
void boot(void);

/* Bytes, or a message with check value and framing, towards the device. */
void post_bytes(const uint8_t *bytes, size_t count);
void post(const uint8_t *message, size_t bytes);

/* ENCODE_FRAME of an embedded frame. */
void post_frame(uint16_t number, size_t embedded);

/* Next message from the device, or NULL when there is none yet; good until the next call. */
const uint8_t *fetch(size_t *bytes);

/* Poll until the device says something, which must be a message of this type and length; `step_us` passes with every
 * poll. */
const uint8_t *expect(uint8_t type, size_t expected_bytes, uint32_t step_us);
void expect_error(uint8_t request, int status, uint16_t detail);
void expect_stream_state(uint8_t request, uint8_t state, uint32_t packets, uint32_t dropped);

/* The next message is packet `seq`, with the right body; returns its time. */
uint16_t expect_packet(uint32_t seq, uint32_t step_us);

/* The device has nothing to say and nothing to do. */
void expect_silence(void);

/* STREAM_START with up to 255 packets, and its answer. */
void start_stream(uint8_t request, uint8_t mode, uint8_t packets);

/* A u32 of COUNTERS by its offset. */
uint32_t counter(size_t at);

/* A packet's body, or a PACKET, holds the frames that its number says. */
void check_frames(const uint8_t *body, uint32_t seq);
void check_packet(const uint8_t *message);

#endif /* APP_PEER_H */

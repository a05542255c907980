/* The application: the serial protocol of firmware/PROTOCOL.md around one codec.
 *
 * The device speaks only when asked. Every call of kit_app_poll does a little of everything and never waits: it moves
 * bytes, handles at most one message, and runs at most one codec step, so that a slow core keeps listening while it
 * encodes. The replayed recording takes the place of a sensor: to stream a real one, call kit_codec_push from its
 * interrupt instead of replay_due() in kit_app.c. */
#ifndef KIT_APP_H
#define KIT_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "kit_codec.h"
#include "kit_generated.h"
#include "kit_link.h"
#include "kit_reply.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A sample on the wire is never wider than its container. */
#define KIT_APP_RX_BYTES KIT_MSG_ENCODE_FRAME_TOTAL(KIT_FRAME_SAMPLES, sizeof(kit_sample_t))
#define KIT_APP_PACKET_BYTES (KIT_FRAMES_PER_PACKET * KIT_PACKET_BYTES) /* body of a PACKET */
#define KIT_APP_BODY_TOTAL                                                                             \
    (KIT_MSG_ENCODED_TOTAL(KIT_PACKET_BYTES) > KIT_MSG_PACKET_TOTAL(KIT_APP_PACKET_BYTES)              \
         ? KIT_MSG_ENCODED_TOTAL(KIT_PACKET_BYTES) : KIT_MSG_PACKET_TOTAL(KIT_APP_PACKET_BYTES))
#define KIT_APP_FIXED_TOTAL (KIT_DEVICE_FIXED_BYTES_MAX + KIT_CRC32_BYTES)
#define KIT_APP_TX_TOTAL (KIT_APP_BODY_TOTAL > KIT_APP_FIXED_TOTAL ? KIT_APP_BODY_TOTAL : KIT_APP_FIXED_TOTAL)
#define KIT_APP_CREDITS 1u             /* ENCODE_FRAME messages that may be unanswered */
#define KIT_APP_CHUNK_BYTES 32u        /* received bytes fetched from the port at a time */
#define KIT_APP_ARRIVALS_MAX 4u        /* complete frames that may wait for the codec with their arrival times */
#define KIT_APP_REPLAY_SAMPLES_MAX 64u /* samples replayed in one poll */

/* All of the application's state, buffers included; no part of it is meant for other code. */
typedef struct {
    KIT_STORAGE_T storage;
    kit_link_t link;
    kit_app_counters_t counters;
    uint32_t now_us;      /* kit_port_time_us at this poll */
    uint16_t clock_us;    /* microseconds of the current millisecond */
    uint16_t clock_ms;    /* milliseconds since start, modulo 65536 */
    uint8_t job;          /* what the codec is working for */
    uint8_t notice;       /* message to send as soon as the line is free; the job waits for it */
    uint8_t request;      /* request number of the job */
    int8_t failure;       /* status of an ERROR notice */
    uint16_t failure_detail;
    uint16_t frame;       /* ENCODE_FRAME: its number; replay: embedded frame being pushed */
    uint16_t sample;      /* replay: next sample of that frame */
    uint32_t begun_us;    /* ENCODE_FRAME: when encoding began */
    uint16_t failed;      /* self-test: frames that differed */
    uint16_t first_failed;
    uint8_t mode;         /* stream: KIT_STREAM_MODE_* */
    bool packet_waits;    /* stream: a packet is ready and the line is busy */
    uint32_t packets;     /* stream: packets wanted; 0: no end */
    uint32_t pushed;      /* stream: whole frames pushed */
    uint32_t sent;        /* stream: packets sent */
    uint32_t lost;        /* stream: frames lost */
    uint32_t due_us;      /* realtime: when the next sample arrives */
    uint32_t due_rest;    /* realtime: fraction of due_us, in 1 / sample_rate_mhz microseconds */
    uint16_t arrivals[KIT_APP_ARRIVALS_MAX]; /* ms of the last sample of each waiting frame, oldest first */
    uint8_t arrivals_count;
    uint8_t chunk_at;
    uint8_t chunk_bytes;
    uint8_t chunk[KIT_APP_CHUNK_BYTES];
    uint8_t rx[KIT_APP_RX_BYTES];
    uint8_t tx[KIT_LINK_TX_BYTES(KIT_APP_TX_TOTAL)];
} kit_app_t;

/* Prepare the application; call kit_port_init before. Returns the status of the codec's initialisation. */
kit_status_t kit_app_init(kit_app_t *app);

/* Do a bounded amount of work. Returns false when nothing is left to do until a byte arrives or time passes. */
bool kit_app_poll(kit_app_t *app);

#ifdef __cplusplus
}
#endif

#endif /* KIT_APP_H */

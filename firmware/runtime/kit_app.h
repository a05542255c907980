/* The application: the serial protocol of firmware/PROTOCOL.md around one codec.
 *
 * The device speaks only when asked. Every call of kit_app_poll does a little of everything and never waits: it moves
 * bytes, handles the messages that arrived since the last call, takes samples from the source, and runs at most one codec
 * step, so that a slow core keeps listening while it encodes. Where the samples of a stream come from is the business of
 * kit_source.h.
 *
 * What the host may have on its way (firmware/PROTOCOL.md, Credits): one frame in the codec and one in the receive
 * buffer, which is not read on until the codec takes that frame; and any one other request. Whatever arrives meanwhile
 * stays in the port's receive ring, so that it needs no more room than for the bytes of the longest step. */
#ifndef KIT_APP_H
#define KIT_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "kit_codec.h"
#include "kit_generated.h"
#include "kit_link.h"
#include "kit_packet.h"
#include "kit_reply.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A sample on the wire is never wider than its container. */
#define KIT_APP_RX_BYTES KIT_MSG_ENCODE_FRAME_TOTAL(KIT_FRAME_SAMPLES, sizeof(kit_sample_t))
/* Body of a PACKET, or of the longest. */
#define KIT_APP_PACKET_BYTES (KIT_FRAMES_PER_PACKET * KIT_PACKET_BYTES + (KIT_FRAMES_PER_PACKET - 1) * KIT_LENGTH_BYTES)
#define KIT_APP_BODY_TOTAL                                                                             \
    (KIT_MSG_ENCODED_TOTAL(KIT_PACKET_BYTES) > KIT_MSG_PACKET_TOTAL(KIT_APP_PACKET_BYTES)              \
         ? KIT_MSG_ENCODED_TOTAL(KIT_PACKET_BYTES) : KIT_MSG_PACKET_TOTAL(KIT_APP_PACKET_BYTES))
#define KIT_APP_FIXED_TOTAL (KIT_DEVICE_FIXED_BYTES_MAX + KIT_CRC32_BYTES)
#define KIT_APP_TX_TOTAL (KIT_APP_BODY_TOTAL > KIT_APP_FIXED_TOTAL ? KIT_APP_BODY_TOTAL : KIT_APP_FIXED_TOTAL)
#define KIT_APP_CREDITS 2u         /* ENCODE_FRAME messages that may be unanswered: codec and receive buffer hold one each */
#define KIT_APP_QUEUE_MESSAGES 2u  /* longest messages that the transmit queue holds; more of the shorter ones */
#define KIT_APP_RX_POLL_BYTES 512u /* received bytes handled in one poll; a port's receive ring is no larger */
#define KIT_APP_CHUNK_BYTES 32u    /* of them, fetched from the port at a time */
#define KIT_APP_SAMPLES_MAX 64u    /* samples moved at a time */
#define KIT_APP_READS_MAX 4u       /* times that one poll asks the source for samples */
#define KIT_APP_ARRIVALS_MAX 4u    /* complete frames that may wait for the codec with their arrival times */

/* All of the application's state, buffers included; no part of it is meant for other code. */
typedef struct {
    KIT_STORAGE_T storage;
    kit_link_t link;
    kit_app_counters_t counters;
    uint32_t now_us;      /* kit_port_time_us at this poll */
    uint16_t clock_us;    /* microseconds of the current millisecond */
    uint16_t clock_ms;    /* milliseconds since start, modulo 65536 */
    int8_t startup;       /* status of the codec's initialisation; after a failure it answers every message */
    uint8_t job;          /* what the codec is working for */
    uint8_t notice;       /* message to send as soon as the line is free; the job waits for it */
    uint8_t request;      /* request number of the job */
    int8_t failure;       /* status of an ERROR notice */
    uint16_t failure_detail;
    uint16_t frame;       /* ENCODE_FRAME: its number; self-test: embedded frame being encoded */
    uint16_t sample;      /* next sample of the frame being pushed */
    bool held;            /* the receive buffer holds a frame that the codec has not taken yet */
    uint32_t begun_us;    /* ENCODE_FRAME: when encoding began */
    uint16_t failed;      /* self-test: frames that differed */
    uint16_t first_failed;
    uint8_t mode;         /* stream: KIT_STREAM_MODE_* */
    uint8_t pushed_frames; /* stream: whole frames pushed of the packet being pushed */
    uint32_t packets;     /* stream: packets wanted; 0: no end */
    uint32_t pushed;      /* stream: packets of which every frame was pushed */
    uint32_t sent;        /* stream: packets sent */
    uint32_t lost;        /* stream: packets left out */
    uint32_t source_dropped; /* kit_source_dropped at boot */
    kit_packet_t packet;  /* stream: the packet being filled */
    uint16_t arrivals[KIT_APP_ARRIVALS_MAX]; /* ms of the last sample of each waiting frame, oldest first */
    uint8_t arrivals_count;
    uint8_t chunk_at;
    uint8_t chunk_bytes;
    uint8_t chunk[KIT_APP_CHUNK_BYTES];
    uint8_t rx[KIT_APP_RX_BYTES];
    uint8_t tx[KIT_APP_QUEUE_MESSAGES * KIT_LINK_TX_BYTES(KIT_APP_TX_TOTAL)];
    uint8_t packet_body[KIT_APP_PACKET_BYTES];
} kit_app_t;

/* Prepare the application; call kit_port_init before. Returns the status of the codec's initialisation. When that fails,
 * the application still runs, and refuses every message with this status: so a host learns why. */
kit_status_t kit_app_init(kit_app_t *app);

/* Do a bounded amount of work. Returns false when nothing is left to do until a byte arrives or time passes. */
bool kit_app_poll(kit_app_t *app);

#ifdef __cplusplus
}
#endif

#endif /* KIT_APP_H */

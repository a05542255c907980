/* The messages that the device sends (firmware/PROTOCOL.md), each built and queued in one call. Call them only while
 * kit_link_tx_room; the link must have been given room for the longest of them. */
#ifndef KIT_REPLY_H
#define KIT_REPLY_H

#include <stdint.h>

#include "kit_link.h"
#include "kit_model.h"
#include "kit_packet.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A request was refused or failed with `status`; `detail` is limited to 65535. */
void kit_reply_error(kit_link_t *link, uint8_t request, int status, uint32_t detail);

/* What the hello says besides the model, the port's name and the engine's. */
typedef struct {
    uint32_t state_bytes;      /* RAM of a codec */
    uint32_t arena_bytes;      /* of it, scratch memory of the engine */
    uint16_t embedded_frames;  /* frames of the embedded recording */
    uint16_t body_bytes;       /* body of a packet, or of the longest */
    uint8_t frames_per_packet; /* 1..16 */
    uint8_t credits;           /* ENCODE_FRAME messages that may be unanswered at a time */
} kit_device_facts_t;

/* The application's share of COUNTERS, all since boot. */
typedef struct {
    uint32_t tx_packets;      /* packets sent */
    uint32_t tx_dropped;      /* packets left out because the transmit queue was full */
    uint32_t samples_dropped; /* samples lost before they were encoded */
    uint32_t refused;         /* messages answered by ERROR */
    uint32_t pass_us_max;     /* longest time between two polls, microseconds */
} kit_app_counters_t;

/* Who the device is. */
void kit_reply_hello(kit_link_t *link, uint8_t request, const kit_model_t *model, const kit_device_facts_t *facts);

/* The application's counters, the link's and the port's. */
void kit_reply_counters(kit_link_t *link, uint8_t request, const kit_app_counters_t *counters);

/* `state`: KIT_STREAM_STATE_*; packets sent and packets left out since the stream started. */
void kit_reply_stream_state(kit_link_t *link, uint8_t request, uint8_t state, uint32_t packets, uint32_t dropped);

void kit_reply_self_test(kit_link_t *link, uint8_t request, uint16_t frames, uint16_t failed, uint16_t first_failed);

/* One frame's body of `bytes` bytes as an answer; a full packet as part of a stream. */
void kit_reply_encoded(kit_link_t *link, uint16_t frame, uint32_t time_us, const uint8_t *body, uint16_t bytes);
void kit_reply_packet(kit_link_t *link, const kit_packet_t *packet);

#ifdef __cplusplus
}
#endif

#endif /* KIT_REPLY_H */

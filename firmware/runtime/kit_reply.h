/* The messages that the device sends (firmware/PROTOCOL.md), each built and queued in one call. Call them only while
 * kit_link_tx_idle; the link must have been given room for the longest of them. */
#ifndef KIT_REPLY_H
#define KIT_REPLY_H

#include <stdint.h>

#include "kit_link.h"
#include "kit_model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A request was refused or failed with `status`; `detail` is limited to 65535. */
void kit_reply_error(kit_link_t *link, uint8_t request, int status, uint32_t detail);

/* Who the device is; port and engine add their names. `state_bytes`: RAM of a codec, `arena_bytes`: of it, scratch. */
void kit_reply_hello(kit_link_t *link, uint8_t request, const kit_model_t *model, uint16_t embedded_frames,
                     uint32_t state_bytes, uint32_t arena_bytes);

/* The link's counters and the port's, besides packets sent and samples dropped. */
void kit_reply_counters(kit_link_t *link, uint8_t request, uint32_t packets, uint32_t samples_dropped);

/* `state`: KIT_STREAM_STATE_*; packets sent and frames lost since the stream started. */
void kit_reply_stream_state(kit_link_t *link, uint8_t request, uint8_t state, uint32_t packets, uint32_t dropped);

void kit_reply_self_test(kit_link_t *link, uint8_t request, uint16_t frames, uint16_t failed, uint16_t first_failed);

/* One packet body of `bytes` bytes, as an answer or as part of a stream. */
void kit_reply_encoded(kit_link_t *link, uint16_t frame, uint32_t time_us, const uint8_t *body, uint16_t bytes);
void kit_reply_packet(kit_link_t *link, uint16_t seq, uint16_t time_ms, const uint8_t *body, uint16_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* KIT_REPLY_H */

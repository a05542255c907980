/* What the stages of the codec took over several frames, for PROFILE (firmware/PROTOCOL.md). Only in images with
 * probes (kit_probe.h), which alone have anything to tell. */
#ifndef KIT_PROFILE_H
#define KIT_PROFILE_H

#include <stdint.h>

#include "kit_link.h"
#include "kit_probe.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Forget earlier frames and start the counter. */
void kit_profile_begin(void);

/* A frame is complete: add it. */
void kit_profile_frame(void);

/* Stop counting. */
void kit_profile_end(void);

/* Answer with what was counted for `stage`, less than KIT_PROBE_STAGES; call only while kit_link_tx_idle. */
void kit_profile_reply(kit_link_t *link, uint8_t request, uint8_t stage);

#ifdef __cplusplus
}
#endif

#endif /* KIT_PROFILE_H */

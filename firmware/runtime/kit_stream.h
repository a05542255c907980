/* The stream, one of the application's jobs: samples from the source into the codec, its frames into packets, packets to
 * the line. Part of kit_app.c in all but the file. */
#ifndef KIT_STREAM_H
#define KIT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "kit_app.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Begin a stream, or begin it anew, as a STREAM_START of the right length asks. */
void kit_stream_start(kit_app_t *app, const uint8_t *message);

/* End the stream that runs. */
void kit_stream_end(kit_app_t *app);

/* Do a bounded amount of its work; returns false when nothing is left to do until samples arrive. */
bool kit_stream_step(kit_app_t *app);

#ifdef __cplusplus
}
#endif

#endif /* KIT_STREAM_H */

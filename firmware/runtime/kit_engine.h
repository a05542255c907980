/* The seam between the codec and what runs the encoder. Resolved when linking: exactly one folder of
 * firmware/engines/ is compiled into a firmware, without function pointers.
 *
 * The codec asks with kit_engine_step and obeys:
 *     KIT_ENGINE_NEED_INPUT  kit_engine_put the next normalised sample of the frame, oldest first
 *     KIT_ENGINE_BUSY        one bounded step of work was done
 *     KIT_ENGINE_COLUMN      the next latent position is at kit_engine_column, until the next call of kit_engine_step
 *     KIT_ENGINE_DONE        every latent position of the frame was handed out; kit_engine_begin starts the next frame
 * An engine that works on whole frames stores the samples it is given, runs when it has all of them, in one step, and
 * then hands out the positions one by one. */
#ifndef KIT_ENGINE_H
#define KIT_ENGINE_H

#include <stdint.h>

#include "kit_status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* State of one running encoder in the caller's memory. Each engine defines the structure in its own header and
 * initialises it through the rendered <prefix>_engine_init. */
typedef struct kit_engine kit_engine_t;

/* What an engine was rendered for. */
typedef struct {
    uint16_t frame_samples; /* T, samples per frame */
    uint16_t positions;     /* P, latent positions per frame */
    uint8_t input_channels; /* of a sample: 1, its value; 2, value and remainder */
    uint8_t channels;       /* C * D, channels of a latent position */
    uint32_t scratch_bytes; /* activation memory of this instance, bytes */
} kit_engine_info_t;

/* Results of kit_engine_step; an engine that fails returns a negative kit_status_t instead. */
enum {
    KIT_ENGINE_NEED_INPUT = 0,
    KIT_ENGINE_BUSY = 1,
    KIT_ENGINE_COLUMN = 2,
    KIT_ENGINE_DONE = 3
};

/* What an engine that did not start found instead of what it expected: bytes, a version, an operator's number... by the
 * status that its initialisation returned. */
typedef struct {
    uint32_t expected;
    uint32_t found;
} kit_engine_failure_t;

/* Numbers to the status of a failed initialisation; zeros where the status says it all. */
kit_engine_failure_t kit_engine_failure(const kit_engine_t *engine);

/* Geometry of an initialised engine. */
kit_engine_info_t kit_engine_info(const kit_engine_t *engine);

/* Name in the hello, at most 8 characters: "aot" or "tflm". */
const char *kit_engine_name(void);

/* Forget the frame in progress and start a new one. */
void kit_engine_begin(kit_engine_t *engine);

/* One bounded step; see above. */
int kit_engine_step(kit_engine_t *engine);

/* The sample that KIT_ENGINE_NEED_INPUT asked for, int8 [input_channels]. Returns KIT_ENGINE_NEED_INPUT when the engine
 * wants the next one right away, as kit_engine_step would say too, else KIT_ENGINE_BUSY. */
int kit_engine_put(kit_engine_t *engine, const int8_t *column);

/* The latent position that KIT_ENGINE_COLUMN announced, int8 [C][D]. */
const int8_t *kit_engine_column(const kit_engine_t *engine);

#ifdef __cplusplus
}
#endif

#endif /* KIT_ENGINE_H */

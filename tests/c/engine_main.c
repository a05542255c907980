/* Test program: runs encoders of the ahead-of-time engine on frames that are compiled in, on this machine or on a bare
 * Cortex-M, and exits with the number of the first one whose latents are wrong, counted from 1; 0 when all are right.
 * cases.h defines CASES(X), one X(prefix) per model, and for each <prefix>_frames, <prefix>_latents and their sizes. */
#include <stddef.h>

#include "kit_engine.h"

#include "cases.h"

int main(void);

#define ENGINE(prefix) static prefix##_engine_t prefix##_engine;
CASES(ENGINE)

static int run(kit_engine_t *engine, const int8_t *frames, unsigned count, const int8_t *latents)
{
    const kit_engine_info_t info = kit_engine_info(engine);
    int wrong = 0;
    for (unsigned frame = 0; frame < count; frame++) {
        unsigned fed = 0;
        unsigned columns = 0;
        kit_engine_begin(engine);
        for (;;) {
            const int result = kit_engine_step(engine);
            if (result == KIT_ENGINE_NEED_INPUT) {
                if (fed == info.frame_samples) {
                    return 1;
                }
                kit_engine_put(engine, frames + fed * info.input_channels);
                fed++;
            } else if (result == KIT_ENGINE_COLUMN) {
                const int8_t *column = kit_engine_column(engine);
                for (unsigned i = 0; i < info.channels; i++) {
                    wrong |= column[i] != latents[i];
                }
                latents += info.channels;
                columns++;
            } else if (result == KIT_ENGINE_DONE) {
                break;
            }
        }
        wrong |= columns != info.positions;
        frames += (size_t)info.frame_samples * info.input_channels;
    }
    return wrong;
}

int main(void)
{
    int number = 0;
#define RUN(prefix)                                                                                       \
    number++;                                                                                             \
    if (prefix##_engine_init(&prefix##_engine) != KIT_OK ||                                               \
        run(&prefix##_engine.engine, prefix##_frames, CASE_FRAMES, prefix##_latents) != 0) {               \
        return number;                                                                                    \
    }
    CASES(RUN)
    return 0;
}

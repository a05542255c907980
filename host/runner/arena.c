/* Measures the tensor arena of the tflm engine, on the target itself: what TensorFlow Lite Micro reports as used when it
 * has more than enough, and the smallest arena that it starts with. Takes the place of runner.c (`make arena`). */
#include "kit_generated.h"
#include "kit_link.h"
#include "runner.h"
#include "runner_io.h"
#include "start_failure.h"

#define RESULT_BYTES 12u
#define BELOW_BYTES 64u  /* the search begins so far below what is reported as used ... */
#define ABOVE_BYTES 4096u /* ... and ends so far above it: records that planning alone needs */

static KIT_STORAGE_T storage;

static int fail(const char *what)
{
    kit_io_print("kit_arena: ");
    kit_io_print(what);
    kit_io_print("\n");
    return 1;
}

/* The smallest arena, in bytes, that the engine starts with; 0 when none of those tried is enough. */
static uint32_t smallest(uint32_t used)
{
    uint32_t bytes = used > BELOW_BYTES ? used - BELOW_BYTES : 1u;
    for (; bytes <= used + ABOVE_BYTES && bytes <= KIT_ARENA_BYTES; bytes++) {
        if (KIT_ENGINE_INIT_WITHIN(&storage.engine, bytes) == KIT_OK) {
            return bytes;
        }
    }
    return 0;
}

int kit_runner_run(const char *input, const char *output)
{
    (void)input;
    const kit_status_t status = KIT_ENGINE_INIT_WITHIN(&storage.engine, KIT_ARENA_BYTES);
    if (status != KIT_OK) {
        return fail(kit_start_failure(status, kit_engine_failure(KIT_ENGINE(&storage))));
    }
    const uint32_t used = kit_engine_info(KIT_ENGINE(&storage)).scratch_bytes;
    const uint32_t needed = smallest(used);
    if (needed == 0) {
        return fail("no arena near the reported size is enough");
    }
    uint8_t result[RESULT_BYTES] = {'K', 'I', 'T', 'A'};
    kit_put_u32(result + 4, used);
    kit_put_u32(result + 8, needed);
    if (!kit_io_open_input(input) || !kit_io_open_output(output) || !kit_io_write(result, sizeof result) ||
        !kit_io_close()) {
        return fail("the result cannot be written");
    }
    return 0;
}

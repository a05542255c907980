/* Speed of a build on this machine: kit_speed SAMPLES INPUTS LATENTS
 *
 * SAMPLES holds frames of raw samples (the build's container, as this machine stores it), INPUTS the same frames
 * normalised, int8 [frames][T]. The program encodes INPUTS once and writes the latents, int8 [frames][P][D], to LATENTS;
 * then it says "ready" and answers every line "encoder N" or "codec N" on standard input with the nanoseconds of
 * processor time that N frames took: the encoder alone, or everything from samples to packets. It ends with its standard
 * input. */
#define _POSIX_C_SOURCE 200809L

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kit_engine.h"
#include "kit_generated.h"

#define FRAMES_MAX 256u
#define LINE_BYTES 64
#define LATENT_BYTES ((size_t)KIT_LATENT_POSITIONS * KIT_LATENT_CHANNELS)

static KIT_STORAGE_T storage;
static kit_sample_t samples[FRAMES_MAX][KIT_FRAME_SAMPLES];
static int8_t inputs[FRAMES_MAX][KIT_FRAME_SAMPLES * KIT_INPUT_CHANNELS];
static int8_t latents[FRAMES_MAX][LATENT_BYTES];
static size_t frames;

/* Encode one normalised frame; false when the engine fails. */
static bool encode(const int8_t *input, int8_t *latent)
{
    kit_engine_t *engine = KIT_ENGINE(&storage);
    kit_engine_begin(engine);
    for (;;) {
        const int result = kit_engine_step(engine);
        if (result == KIT_ENGINE_NEED_INPUT) {
            kit_engine_put(engine, input);
            input += KIT_INPUT_CHANNELS;
        } else if (result == KIT_ENGINE_COLUMN) {
            memcpy(latent, kit_engine_column(engine), KIT_LATENT_CHANNELS);
            latent += KIT_LATENT_CHANNELS;
        } else if (result != KIT_ENGINE_BUSY) {
            return result == KIT_ENGINE_DONE;
        }
    }
}

/* Take one raw frame to its packet; false when the codec fails. */
static bool code(const kit_sample_t *frame)
{
    kit_codec_t *codec = KIT_CODEC(&storage);
    if (kit_codec_push(codec, frame, KIT_FRAME_SAMPLES) != KIT_FRAME_SAMPLES) {
        return false;
    }
    for (;;) {
        const kit_status_t status = kit_codec_poll(codec);
        if (status == KIT_PACKET) {
            return kit_codec_packet(codec, NULL) != NULL;
        }
        if (status <= 0) {
            return false;
        }
    }
}

/* Nanoseconds of processor time that `count` frames take, or -1 on a failure. */
static int64_t timed(bool whole, size_t count)
{
    struct timespec start;
    struct timespec end;
    bool good = KIT_INIT(&storage) == KIT_OK;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (size_t i = 0; i < count && good; i++) {
        const size_t frame = i % frames;
        good = whole ? code(samples[frame]) : encode(inputs[frame], latents[frame]);
    }
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    return good ? (int64_t)(end.tv_sec - start.tv_sec) * 1000000000 + (end.tv_nsec - start.tv_nsec) : -1;
}

/* Frames of `bytes` each in a file, at most FRAMES_MAX; 0 when it cannot be read. */
static size_t read_frames(const char *path, void *to, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return 0;
    }
    const size_t count = fread(to, bytes, FRAMES_MAX, file);
    (void)fclose(file);
    return count;
}

static bool write_latents(const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return false;
    }
    const size_t count = fwrite(latents, LATENT_BYTES, frames, file);
    return fclose(file) == 0 && count == frames;
}

static int fail(const char *what)
{
    fprintf(stderr, "kit_speed: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: kit_speed SAMPLES INPUTS LATENTS\n", stderr);
        return 2;
    }
    frames = read_frames(argv[1], samples, sizeof samples[0]);
    if (frames == 0 || read_frames(argv[2], inputs, sizeof inputs[0]) != frames) {
        return fail("samples and inputs are not the same number of frames");
    }
    if (timed(false, frames) < 0 || !write_latents(argv[3])) {
        return fail("the frames cannot be encoded");
    }
    puts("ready");
    (void)fflush(stdout);
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char what[8];
        unsigned count = 0;
        if (sscanf(line, "%7s %u", what, &count) != 2 || count == 0) {
            return fail("a line must be \"encoder N\" or \"codec N\"");
        }
        printf("%lld\n", (long long)timed(strcmp(what, "codec") == 0, count));
        (void)fflush(stdout);
    }
    return 0;
}

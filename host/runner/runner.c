#include "runner.h"

#include <stdint.h>
#include <string.h>

#include "kit_generated.h"
#include "kit_link.h"
#include "kit_probe.h"
#include "kit_tap.h"
#include "runner_io.h"
#include "start_failure.h"

#define VERSION 1u
#define INPUT_HEADER_BYTES 16u
#define OUTPUT_HEADER_BYTES 28u
#define LATENT_BYTES ((uint32_t)KIT_LATENT_POSITIONS * KIT_LATENT_CHANNELS)
#define RESULT_BYTES (LATENT_BYTES + KIT_ROW_BYTES)
#define STAGE_BYTES 8u
#define TAP_HEADER_BYTES 5u
#define TAP_END 255u /* in place of a layer's number */

#if defined(KIT_PROBES)
#define MAGIC "KITP"
#elif defined(KIT_TAPS)
#define MAGIC "KITT"
#else
#define MAGIC "KITR"
#endif

static KIT_STORAGE_T storage;
static uint8_t samples[KIT_FRAME_SAMPLES * sizeof(kit_sample_t)];
static uint8_t result[RESULT_BYTES];

static int fail(const char *where, const char *what)
{
    kit_io_print("kit_runner: ");
    kit_io_print(where);
    kit_io_print(": ");
    kit_io_print(what);
    kit_io_print("\n");
    return 1;
}

/* Bytes of a sample in the input. */
static uint32_t sample_bytes(void)
{
    return KIT_MODEL.sample_bits <= 16 ? 2u : 4u;
}

static kit_sample_t sample_at(const uint8_t *at)
{
    return KIT_MODEL.sample_bits <= 16 ? (kit_sample_t)(int16_t)kit_get_u16(at) : (kit_sample_t)kit_get_u32(at);
}

/* What is wrong with the input's header, or NULL; `frames` receives its number of frames. */
static const char *check_header(uint32_t *frames)
{
    uint8_t header[INPUT_HEADER_BYTES];
    if (kit_io_read(header, sizeof header) != sizeof header || memcmp(header, "KITV", 4) != 0) {
        return "is no KITV file";
    }
    if (kit_get_u32(header + 4) != VERSION) {
        return "is of another KITV version";
    }
    if (kit_get_u32(header + 8) != KIT_FRAME_SAMPLES) {
        return "has another frame length than this firmware";
    }
    *frames = kit_get_u32(header + 12);
    return *frames == 0 ? "holds no frame" : NULL;
}

#if defined(KIT_PROBES)

/* What is counted and how many stages; goes behind the header. */
static bool begin_probes(void)
{
    uint8_t header[STAGE_BYTES];
    kit_put_u32(header, kit_probe_begin());
    kit_put_u32(header + 4, KIT_PROBE_STAGES);
    return kit_io_write(header, sizeof header);
}

/* Counts and visits of the frame; go behind its packet. */
static bool write_probes(void)
{
    uint8_t row[STAGE_BYTES];
    for (unsigned stage = 0; stage < KIT_PROBE_STAGES; stage++) {
        const kit_probe_stage_t found = kit_probe_of(stage);
        kit_put_u32(row, found.count);
        kit_put_u32(row + 4, found.visits);
        if (!kit_io_write(row, sizeof row)) {
            return false;
        }
    }
    kit_probe_clear();
    return true;
}

#else

static bool begin_probes(void)
{
    return true;
}

static bool write_probes(void)
{
    return true;
}

#endif

#if defined(KIT_TAPS)

static bool taps_written = true; /* so far, of this frame */

/* Columns go out at once: a small board has no room for a layer. */
void kit_tap(uint8_t layer, uint16_t position, const int8_t *column, uint16_t channels)
{
    const uint8_t header[TAP_HEADER_BYTES] = {layer, (uint8_t)position, (uint8_t)(position >> 8), (uint8_t)channels,
                                              (uint8_t)(channels >> 8)};
    taps_written = taps_written && kit_io_write(header, sizeof header) && kit_io_write(column, channels);
}

/* Mark the end of the frame's columns; false when not all of them were written. */
static bool end_taps(void)
{
    const uint8_t end = TAP_END;
    return taps_written && kit_io_write(&end, sizeof end);
}

#else

static bool end_taps(void)
{
    return true;
}

#endif

static bool write_header(uint32_t frames)
{
    uint8_t header[OUTPUT_HEADER_BYTES];
    memcpy(header, MAGIC, 4);
    kit_put_u32(header + 4, VERSION);
    memcpy(header + 8, KIT_BUILD_HASH, KIT_BUILD_HASH_BYTES);
    kit_put_u32(header + 16, frames);
    kit_put_u32(header + 20, LATENT_BYTES);
    kit_put_u32(header + 24, KIT_ROW_BYTES);
    return kit_io_write(header, sizeof header);
}

/* The packet into its row of `result`: where packets have lengths of their own, the length, the packet and zeros. */
static void store_packet(kit_codec_t *codec)
{
    uint8_t *row = result + LATENT_BYTES;
    uint16_t bytes;
    const uint8_t *packet = kit_codec_packet(codec, &bytes);
    memset(row, 0, KIT_ROW_BYTES);
    if (KIT_ROW_BYTES != KIT_PACKET_BYTES) {
        kit_put_u16(row, bytes);
        row += KIT_ROW_BYTES - KIT_PACKET_BYTES;
    }
    memcpy(row, packet, bytes);
}

/* Encode the frame in `samples` into `result`; returns what is wrong, or NULL. */
static const char *encode(void)
{
    kit_codec_t *codec = KIT_CODEC(&storage);
    const uint32_t step = sample_bytes();
    for (uint32_t i = 0; i < KIT_FRAME_SAMPLES; i++) {
        const kit_sample_t sample = sample_at(samples + i * step);
        KIT_PROBE_SWITCH(KIT_PROBE_INPUT);
        const size_t taken = kit_codec_push(codec, &sample, 1);
        KIT_PROBE_SWITCH(KIT_PROBE_OFF);
        if (taken != 1) {
            return "the codec does not take a whole frame";
        }
    }
    uint32_t columns = 0;
    for (;;) {
        KIT_PROBE_SWITCH(KIT_PROBE_REST);
        const kit_status_t status = kit_codec_poll(codec);
        KIT_PROBE_SWITCH(KIT_PROBE_OFF);
        if (status == KIT_COLUMN) {
            const uint16_t position = kit_codec_position(codec);
            if (position >= KIT_LATENT_POSITIONS) {
                return "the codec gave a latent position beyond the last";
            }
            memcpy(result + (uint32_t)position * KIT_LATENT_CHANNELS, kit_codec_latent(codec), KIT_LATENT_CHANNELS);
            columns++;
        } else if (status == KIT_PACKET) {
            store_packet(codec);
            return columns == KIT_LATENT_POSITIONS ? NULL : "the codec left out a latent position";
        } else if (status != KIT_BUSY) {
            return status < 0 ? "the engine failed" : "the codec stopped before the packet";
        }
    }
}

/* Every frame of the opened input into the opened output. */
static int run_frames(const char *input, const char *output, uint32_t frames)
{
    const uint32_t frame_bytes = KIT_FRAME_SAMPLES * sample_bytes();
    for (uint32_t i = 0; i < frames; i++) {
        if (kit_io_read(samples, frame_bytes) != frame_bytes) {
            return fail(input, "ends before its last frame");
        }
        const char *wrong = encode();
        if (wrong != NULL) {
            return fail(input, wrong);
        }
        if (!end_taps() || !kit_io_write(result, sizeof result) || !write_probes()) {
            return fail(output, "cannot be written");
        }
    }
    if (kit_io_read(samples, 1) != 0) {
        return fail(input, "goes on behind its last frame");
    }
    return 0;
}

int kit_runner_run(const char *input, const char *output)
{
    const kit_status_t started = KIT_INIT(&storage);
    if (started != KIT_OK) {
        return fail("codec does not start", kit_start_failure(started, kit_engine_failure(KIT_ENGINE(&storage))));
    }
    if (!kit_io_open_input(input)) {
        return fail(input, "cannot be opened");
    }
    uint32_t frames = 0;
    const char *wrong = check_header(&frames);
    if (wrong != NULL) {
        return fail(input, wrong);
    }
    if (!kit_io_open_output(output) || !write_header(frames) || !begin_probes()) {
        return fail(output, "cannot be written");
    }
    const int code = run_frames(input, output, frames);
    if (!kit_io_close() && code == 0) {
        return fail(output, "cannot be written");
    }
    return code;
}

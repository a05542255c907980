/* Test program: push frames from stdin in chunks, poll, write latents and packets to stdout.
 *
 *     codec_main CHUNK FRAMES < samples > results
 *
 * samples: kit_sample_t in the machine's order. results: per frame, latents int8 [P][C * D], then the packet. A chunk that
 * meets a full ring is pushed in parts, so that nothing is lost, whatever its size. */
#include <stdio.h>
#include <stdlib.h>

#include "kit_generated.h"

#define CHUNK_MAX 8192

static KIT_STORAGE_T storage;
static int8_t latents[KIT_LATENT_POSITIONS * KIT_LATENT_CHANNELS];
static kit_sample_t samples[CHUNK_MAX];

static int fail(const char *what)
{
    fprintf(stderr, "codec_main: %s\n", what);
    return 1;
}

/* Poll until the codec waits for samples or `stop` returns; write what comes out. */
static int drain(void)
{
    kit_codec_t *codec = KIT_CODEC(&storage);
    for (;;) {
        const kit_status_t status = kit_codec_poll(codec);
        if (status < 0) {
            return fail("poll failed");
        }
        if (status == KIT_IDLE) {
            return 0;
        }
        if (status == KIT_COLUMN) {
            const int8_t *latent = kit_codec_latent(codec);
            for (unsigned d = 0; d < KIT_LATENT_CHANNELS; d++) {
                latents[kit_codec_position(codec) * KIT_LATENT_CHANNELS + d] = latent[d];
            }
        }
        if (status == KIT_PACKET) {
            uint16_t bytes = 0;
            if (kit_codec_poll(codec) != KIT_PACKET) {
                return fail("the packet did not wait");
            }
            const uint8_t *packet = kit_codec_packet(codec, &bytes);
            if (packet == NULL || bytes != KIT_PACKET_BYTES || kit_codec_packet(codec, NULL) != NULL) {
                return fail("wrong packet");
            }
            fwrite(latents, 1, sizeof latents, stdout);
            fwrite(packet, 1, bytes, stdout);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || KIT_INIT(&storage) != KIT_OK) {
        return fail("usage: codec_main CHUNK FRAMES, or initialisation failed");
    }
    kit_codec_t *codec = KIT_CODEC(&storage);
    const size_t chunk = (size_t)strtoul(argv[1], NULL, 10);
    size_t left = (size_t)strtoul(argv[2], NULL, 10) * KIT_FRAME_SAMPLES;
    if (chunk == 0 || chunk > CHUNK_MAX) {
        return fail("chunk out of range");
    }
    while (left != 0) {
        const size_t count = left < chunk ? left : chunk;
        size_t done = 0;
        if (fread(samples, sizeof samples[0], count, stdin) != count) {
            return fail("too few samples");
        }
        while (done < count) {
            const size_t room = kit_codec_room(codec);
            const size_t part = count - done < room ? count - done : room;
            if (kit_codec_push(codec, samples + done, part) != part) {
                return fail("a sample that had room was dropped");
            }
            done += part;
            if (drain() != 0) {
                return 1;
            }
        }
        left -= count;
    }
    return kit_codec_dropped(codec) == 0 ? 0 : fail("samples dropped");
}

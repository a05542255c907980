/* Test program: what happens to samples that find the ring full.
 *
 *     overrun_main BURST < samples > accepted samples, then per frame one byte (gap flag) and the packet
 *
 * Pushes everything from stdin in bursts of BURST samples and polls only once after each burst, far too seldom; then
 * polls to the end. Standard error ends with "taken dropped". */
#include <stdio.h>
#include <stdlib.h>

#include "kit_generated.h"

#define SAMPLES_MAX 65536

static KIT_STORAGE_T storage;
static kit_sample_t samples[SAMPLES_MAX];
static uint8_t results[1 << 20];
static size_t result_bytes;

static kit_status_t step(void)
{
    kit_codec_t *codec = KIT_CODEC(&storage);
    const kit_status_t status = kit_codec_poll(codec);
    if (status == KIT_PACKET) {
        const uint8_t gap = (uint8_t)kit_codec_has_gap(codec);
        uint16_t bytes = 0;
        const uint8_t *packet = kit_codec_packet(codec, &bytes);
        results[result_bytes++] = gap;
        for (uint16_t i = 0; i < bytes; i++) {
            results[result_bytes++] = packet[i];
        }
    }
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 2 || KIT_INIT(&storage) != KIT_OK) {
        return 2;
    }
    kit_codec_t *codec = KIT_CODEC(&storage);
    const size_t burst = (size_t)strtoul(argv[1], NULL, 10);
    const size_t count = fread(samples, sizeof samples[0], SAMPLES_MAX, stdin);
    size_t taken = 0;
    for (size_t at = 0; at < count; at += burst) {
        const size_t part = count - at < burst ? count - at : burst;
        const size_t got = kit_codec_push(codec, samples + at, part);
        fwrite(samples + at, sizeof samples[0], got, stdout);
        taken += got;
        (void)step();
    }
    while (step() != KIT_IDLE) {
    }
    fwrite(results, 1, result_bytes, stdout);
    fprintf(stderr, "%lu %lu\n", (unsigned long)taken, (unsigned long)kit_codec_dropped(codec));
    kit_codec_reset(codec);
    return kit_codec_dropped(codec) == 0 && kit_codec_poll(codec) == KIT_IDLE ? 0 : 1;
}

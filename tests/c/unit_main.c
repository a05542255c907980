/* Test program for single functions of the runtime. Numbers come from stdin in the machine's order, one verb each:
 *
 *     requantize            int32 (value, multiplier, shift)...        -> int32 each
 *     normalise T L S       kit_sample_t [n][T]                        -> per frame int32 mean, int32 code, int8 [T]
 *     pack B CAPACITY       uint16 values...                           -> the packed bytes */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit_aot_requantize.h"
#include "kit_normalise.h"
#include "kit_pack.h"

static kit_sample_t frame[KIT_FRAME_SAMPLES_MAX];
static int8_t normalised[KIT_FRAME_SAMPLES_MAX * KIT_INPUT_CHANNELS_MAX];
static uint8_t packet[65535];

static int number(char **argv, int at)
{
    return atoi(argv[at]);
}

static void requantize(void)
{
    int32_t row[3];
    while (fread(row, sizeof row, 1, stdin) == 1) {
        const int32_t result = kit_aot_requantize(row[0], row[1], (int)row[2]);
        fwrite(&result, sizeof result, 1, stdout);
    }
}

static void normalise(size_t samples, unsigned lsb_bits, uint8_t shaping, uint8_t remainder_bits)
{
    const size_t channels = remainder_bits != 0 ? 2u : 1u;
    while (fread(frame, sizeof frame[0], samples, stdin) == samples) {
        kit_statistics_t statistics;
        kit_statistics_begin(&statistics);
        for (size_t i = 0; i < samples; i++) {
            kit_statistics_add(&statistics, frame[i]);
        }
        kit_scale_t scale;
        kit_scale_of(&scale, &statistics, lsb_bits);
        scale.shaping = shaping;
        scale.remainder_bits = remainder_bits;
        const int32_t side[2] = {scale.mean, scale.scale_code};
        for (size_t i = 0; i < samples; i++) {
            memcpy(normalised + channels * i, kit_normalise(&scale, frame[i]), channels);
        }
        fwrite(side, sizeof side, 1, stdout);
        fwrite(normalised, channels, samples, stdout);
    }
}

static void pack(unsigned bits, uint16_t capacity)
{
    kit_packer_t packer;
    uint16_t value;
    kit_pack_begin(&packer, packet, capacity);
    while (fread(&value, sizeof value, 1, stdin) == 1) {
        kit_pack_put(&packer, value, bits);
    }
    fwrite(packet, 1, kit_pack_end(&packer), stdout);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "requantize") == 0) {
        requantize();
    } else if (argc == 6 && strcmp(argv[1], "normalise") == 0) {
        normalise((size_t)number(argv, 2), (unsigned)number(argv, 3), (uint8_t)number(argv, 4),
                  (uint8_t)number(argv, 5));
    } else if (argc == 4 && strcmp(argv[1], "pack") == 0) {
        pack((unsigned)number(argv, 2), (uint16_t)number(argv, 3));
    } else {
        fprintf(stderr, "unit_main: unknown verb\n");
        return 2;
    }
    return 0;
}

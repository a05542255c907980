/* Test program: two instances of model `ppg` and two of model `ecg`, fed in turn, one poll each.
 *
 *     two_models_main PPG_FRAMES ECG_FRAMES < ppg a, ppg b, ecg a, ecg b > their packets in the same order */
#include <stdio.h>
#include <stdlib.h>

#include "ecg_codec.h"
#include "ppg_codec.h"

#define INSTANCES 4
#define SAMPLES_MAX 65536
#define PACKETS_MAX 65536

static ppg_storage_t ppg[2];
static ecg_storage_t ecg[2];
static kit_sample_t samples[INSTANCES][SAMPLES_MAX];
static uint8_t packets[INSTANCES][PACKETS_MAX];

/* What does not belong together is refused. */
static int refusals_are_right(void)
{
    kit_codec_t *codec = &ppg[0].codec;
    kit_engine_t *engine = &ppg[0].engine.engine;
    kit_codec_memory_t memory = {
        ppg[0].ring, ppg[0].residual, ppg[0].packet, PPG_RING_SAMPLES, PPG_RESIDUAL_VALUES, PPG_PACKET_BYTES,
#if KIT_BEAM_SEARCH
        NULL, 0,
#endif
    };
    int right = kit_codec_init(codec, &ppg_model, engine, &memory) == KIT_OK;
    right &= kit_codec_init(NULL, &ppg_model, engine, &memory) == KIT_ERR_ARGUMENT;
    right &= kit_codec_init(codec, &ppg_model, &ecg[0].engine.engine, &memory) == KIT_ERR_MODEL;
    right &= ppg_init(NULL) == KIT_ERR_ARGUMENT && ppg_engine_init(NULL) == KIT_ERR_ARGUMENT;
    memory.ring_samples = PPG_FRAME_SAMPLES + 1;
    right &= kit_codec_init(codec, &ppg_model, engine, &memory) == KIT_ERR_MODEL;
    memory.ring_samples = PPG_RING_SAMPLES;
    memory.packet_bytes--;
    right &= kit_codec_init(codec, &ppg_model, engine, &memory) == KIT_ERR_MODEL;
    memory.packet = NULL;
    right &= kit_codec_init(codec, &ppg_model, engine, &memory) == KIT_ERR_ARGUMENT;
    return right && ppg_init(&ppg[0]) == KIT_OK;
}

/* A model with an M-best search needs memory for all of its choices. */
static int paths_are_asked_for(void)
{
#if KIT_BEAM_SEARCH
    kit_codec_memory_t memory = {
        ecg[0].ring, ecg[0].residual, ecg[0].packet, ECG_RING_SAMPLES, ECG_RESIDUAL_VALUES, ECG_PACKET_BYTES,
        ecg[0].paths, (uint8_t)(sizeof ecg[0].paths / sizeof ecg[0].paths[0]),
    };
    int right = kit_codec_init(&ecg[0].codec, &ecg_model, &ecg[0].engine.engine, &memory) == KIT_OK;
    memory.path_count--;
    right &= kit_codec_init(&ecg[0].codec, &ecg_model, &ecg[0].engine.engine, &memory) == KIT_ERR_MODEL;
    memory.paths = NULL;
    memory.path_count++;
    right &= kit_codec_init(&ecg[0].codec, &ecg_model, &ecg[0].engine.engine, &memory) == KIT_ERR_MODEL;
    return right && ecg_init(&ecg[0]) == KIT_OK;
#else
    return 1;
#endif
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    kit_codec_t *codecs[INSTANCES] = {&ppg[0].codec, &ppg[1].codec, &ecg[0].codec, &ecg[1].codec};
    size_t counts[INSTANCES];
    size_t pushed[INSTANCES] = {0, 0, 0, 0};
    size_t bytes[INSTANCES] = {0, 0, 0, 0};
    if (ppg_init(&ppg[0]) != KIT_OK || ppg_init(&ppg[1]) != KIT_OK || ecg_init(&ecg[0]) != KIT_OK ||
        ecg_init(&ecg[1]) != KIT_OK) {
        return 1;
    }
    if (!refusals_are_right() || !paths_are_asked_for()) {
        return 3;
    }
    for (unsigned i = 0; i < INSTANCES; i++) {
        const size_t frames = (size_t)strtoul(argv[1 + i / 2], NULL, 10);
        counts[i] = frames * (i < 2 ? PPG_FRAME_SAMPLES : ECG_FRAME_SAMPLES);
        if (fread(samples[i], sizeof(kit_sample_t), counts[i], stdin) != counts[i]) {
            return 1;
        }
    }
    for (unsigned idle = 0; idle < INSTANCES;) {
        idle = 0;
        for (unsigned i = 0; i < INSTANCES; i++) {
            if (pushed[i] < counts[i]) {
                pushed[i] += kit_codec_room(codecs[i]) != 0 ? kit_codec_push(codecs[i], &samples[i][pushed[i]], 1) : 0;
            }
            const kit_status_t status = kit_codec_poll(codecs[i]);
            idle += status == KIT_IDLE && pushed[i] == counts[i];
            if (status == KIT_PACKET) {
                uint16_t length = 0;
                const uint8_t *packet = kit_codec_packet(codecs[i], &length);
                for (uint16_t at = 0; at < length; at++) {
                    packets[i][bytes[i]++] = packet[at];
                }
            }
        }
    }
    for (unsigned i = 0; i < INSTANCES; i++) {
        fwrite(packets[i], 1, bytes[i], stdout);
    }
    return 0;
}

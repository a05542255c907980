/* Test program without an operating system: two instances of model `ppg` and two of model `ecg` code their embedded
 * frames, fed in turn, one poll each. Exits with the number of packets that are wrong or missing (100 when nothing could
 * be coded). */
#include "ecg_codec.h"
#include "ecg_vectors.h"
#include "ppg_codec.h"
#include "ppg_vectors.h"

#define LANES 4

/* One instance, the frames it is fed and the packets it must give. */
typedef struct {
    kit_codec_t *codec;
    const kit_sample_t *samples;
    const uint8_t *packets;
    unsigned frame_samples;
    unsigned packet_bytes;
    unsigned frames;
    unsigned pushed;
    unsigned right;
} lane_t;

int main(void);

static ppg_storage_t ppg[2];
static ecg_storage_t ecg[2];

static void push(lane_t *lane)
{
    if (lane->pushed < lane->frames * lane->frame_samples && kit_codec_room(lane->codec) != 0) {
        (void)kit_codec_push(lane->codec, &lane->samples[lane->pushed++], 1);
    }
}

/* False when all is done. */
static int poll(lane_t *lane, unsigned *packets)
{
    const kit_status_t status = kit_codec_poll(lane->codec);
    if (status == KIT_PACKET) {
        uint16_t bytes = 0;
        const uint8_t *packet = kit_codec_packet(lane->codec, &bytes);
        unsigned same = bytes == lane->packet_bytes ? 1 : 0;
        for (unsigned i = 0; i < lane->packet_bytes; i++) {
            same &= packet[i] == lane->packets[*packets * lane->packet_bytes + i] ? 1u : 0u;
        }
        lane->right += same;
        (*packets)++;
    }
    return status != KIT_IDLE || lane->pushed < lane->frames * lane->frame_samples;
}

int main(void)
{
    if (ppg_init(&ppg[0]) != KIT_OK || ppg_init(&ppg[1]) != KIT_OK || ecg_init(&ecg[0]) != KIT_OK ||
        ecg_init(&ecg[1]) != KIT_OK) {
        return 100;
    }
    /* The second of each begins one frame later, so that the two hold different data at any time. */
    lane_t lanes[LANES] = {
        {&ppg[0].codec, ppg_vector_frames[0], ppg_vector_packets[0], PPG_FRAME_SAMPLES, PPG_PACKET_BYTES,
         PPG_VECTOR_FRAMES, 0, 0},
        {&ppg[1].codec, ppg_vector_frames[1], ppg_vector_packets[1], PPG_FRAME_SAMPLES, PPG_PACKET_BYTES,
         PPG_VECTOR_FRAMES - 1, 0, 0},
        {&ecg[0].codec, ecg_vector_frames[0], ecg_vector_packets[0], ECG_FRAME_SAMPLES, ECG_PACKET_BYTES,
         ECG_VECTOR_FRAMES, 0, 0},
        {&ecg[1].codec, ecg_vector_frames[1], ecg_vector_packets[1], ECG_FRAME_SAMPLES, ECG_PACKET_BYTES,
         ECG_VECTOR_FRAMES - 1, 0, 0},
    };
    unsigned packets[LANES] = {0, 0, 0, 0};
    for (int busy = 1; busy != 0;) {
        busy = 0;
        for (unsigned i = 0; i < LANES; i++) {
            push(&lanes[i]);
            busy |= poll(&lanes[i], &packets[i]);
        }
    }
    int wrong = 0;
    for (unsigned i = 0; i < LANES; i++) {
        wrong += (int)(lanes[i].frames - lanes[i].right);
    }
    return wrong;
}

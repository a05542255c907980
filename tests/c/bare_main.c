/* Test program without an operating system: codes the embedded frames on a bare core and exits with the number of frames
 * whose packet is wrong (100 when nothing could be coded). */
#include "kit_generated.h"
#include KIT_VECTORS_HEADER

int main(void);

static KIT_STORAGE_T storage;

static int packet_is_right(kit_codec_t *codec, unsigned frame)
{
    uint16_t bytes = 0;
    int right = 1;
    (void)kit_codec_push(codec, KIT_EMBEDDED_SAMPLES[frame], KIT_FRAME_SAMPLES);
    while (kit_codec_poll(codec) != KIT_PACKET) {
    }
    const uint8_t *packet = kit_codec_packet(codec, &bytes);
    for (unsigned i = 0; i < KIT_PACKET_BYTES; i++) {
        right &= packet[i] == KIT_EMBEDDED_PACKETS[frame][i];
    }
    return right && bytes == KIT_PACKET_BYTES;
}

int main(void)
{
    int wrong = 0;
    if (KIT_INIT(&storage) != KIT_OK) {
        return 100;
    }
    for (unsigned frame = 0; frame < KIT_EMBEDDED_FRAMES; frame++) {
        wrong += packet_is_right(KIT_CODEC(&storage), frame) ? 0 : 1;
    }
    return wrong;
}

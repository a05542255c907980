/* Encodes the embedded recording into bare packets on standard output: what an application with a transport of its own
 * does, instead of the serial protocol. */
#include <stdio.h>

#include "kit_generated.h"
#include "kit_packet.h"
#include KIT_VECTORS_HEADER

#define BODY_BYTES (KIT_FRAMES_PER_PACKET * KIT_PACKET_BYTES + (KIT_FRAMES_PER_PACKET - 1) * KIT_LENGTH_BYTES)

static KIT_STORAGE_T storage;
static uint8_t body[BODY_BYTES];
static uint8_t notification[KIT_BARE_BYTES(BODY_BYTES)];

static void send(const uint8_t *data, size_t bytes)
{
    if (fwrite(data, 1, bytes, stdout) != bytes) {
        perror("standard output");
    }
}

int main(void)
{
    kit_packet_t packet;
    if (KIT_INIT(&storage) != KIT_OK) {
        return 1;
    }
    kit_packet_init(&packet, body, KIT_PACKET_BYTES, KIT_FRAMES_PER_PACKET, KIT_LENGTH_BYTES);
    for (size_t frame = 0; frame < KIT_EMBEDDED_FRAMES; frame++) {
        (void)kit_codec_push(KIT_CODEC(&storage), KIT_EMBEDDED_SAMPLES[frame], KIT_FRAME_SAMPLES);
        while (kit_codec_poll(KIT_CODEC(&storage)) != KIT_PACKET) {
        }
        uint16_t frame_bytes;
        const uint8_t *coded = kit_codec_packet(KIT_CODEC(&storage), &frame_bytes);
        kit_packet_add(&packet, coded, frame_bytes, (uint16_t)frame);
        if (kit_packet_full(&packet)) {
            const size_t bytes = kit_packet_bare(&packet, notification);
            if (kit_model_is_range_coded(&KIT_MODEL)) {
                const uint8_t length[2] = {(uint8_t)(bytes & 0xFFu), (uint8_t)(bytes >> 8)};
                send(length, sizeof length);
            }
            send(notification, bytes);
            kit_packet_next(&packet);
        }
    }
    return 0;
}

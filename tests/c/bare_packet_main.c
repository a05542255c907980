/* Encodes the embedded recording into bare packets on standard output: what an application with a transport of its own
 * does, instead of the serial protocol. */
#include <stdio.h>

#include "kit_generated.h"
#include "kit_packet.h"
#include KIT_VECTORS_HEADER

#define BODY_BYTES (KIT_FRAMES_PER_PACKET * KIT_PACKET_BYTES)

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
    kit_packet_init(&packet, body, KIT_PACKET_BYTES, KIT_FRAMES_PER_PACKET);
    for (size_t frame = 0; frame < KIT_EMBEDDED_FRAMES; frame++) {
        (void)kit_codec_push(KIT_CODEC(&storage), KIT_EMBEDDED_SAMPLES[frame], KIT_FRAME_SAMPLES);
        while (kit_codec_poll(KIT_CODEC(&storage)) != KIT_PACKET) {
        }
        kit_packet_add(&packet, kit_codec_packet(KIT_CODEC(&storage), NULL), (uint16_t)frame);
        if (kit_packet_full(&packet)) {
            send(notification, kit_packet_bare(&packet, notification));
            kit_packet_next(&packet);
        }
    }
    return 0;
}

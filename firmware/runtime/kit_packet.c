#include "kit_packet.h"

#include <string.h>

#include "kit_link.h"

void kit_packet_init(kit_packet_t *packet, uint8_t *body, uint16_t frame_bytes, uint8_t frames_max, uint8_t length_bytes)
{
    packet->body = body;
    packet->frame_bytes = frame_bytes;
    packet->frames_max = frames_max;
    packet->length_bytes = length_bytes;
    kit_packet_reset(packet);
}

void kit_packet_reset(kit_packet_t *packet)
{
    packet->seq = 0;
    packet->time_ms = 0;
    packet->length = 0;
    packet->frames = 0;
    packet->broken = false;
}

void kit_packet_add(kit_packet_t *packet, const uint8_t *frame, uint16_t bytes, uint16_t time_ms)
{
    if (kit_packet_full(packet)) {
        return;
    }
    packet->time_ms = time_ms;
    packet->frames++;
    if (frame == NULL || bytes > packet->frame_bytes) {
        packet->broken = true;
        return;
    }
    if (!kit_packet_full(packet)) {
        for (unsigned i = 0; i < packet->length_bytes; i++) {
            packet->body[packet->length++] = (uint8_t)(bytes >> (8u * i));
        }
    }
    memcpy(packet->body + packet->length, frame, bytes);
    packet->length = (uint16_t)(packet->length + bytes);
}

bool kit_packet_full(const kit_packet_t *packet)
{
    return packet->frames == packet->frames_max;
}

bool kit_packet_broken(const kit_packet_t *packet)
{
    return packet->broken;
}

uint16_t kit_packet_body_bytes(const kit_packet_t *packet)
{
    return packet->length;
}

size_t kit_packet_bare(const kit_packet_t *packet, uint8_t *target)
{
    const size_t bytes = kit_packet_body_bytes(packet);
    kit_put_u16(target + KIT_BARE_SEQ_AT, packet->seq);
    kit_put_u16(target + KIT_BARE_TIME_MS_AT, packet->time_ms);
    memcpy(target + KIT_BARE_BODY_AT, packet->body, bytes);
    return KIT_BARE_BYTES(bytes);
}

void kit_packet_next(kit_packet_t *packet)
{
    packet->seq = (uint16_t)(packet->seq + 1u);
    packet->length = 0;
    packet->frames = 0;
    packet->broken = false;
}

#include "kit_packet.h"

#include <string.h>

#include "kit_link.h"

void kit_packet_init(kit_packet_t *packet, uint8_t *body, uint16_t frame_bytes, uint8_t frames_max)
{
    packet->body = body;
    packet->frame_bytes = frame_bytes;
    packet->frames_max = frames_max;
    kit_packet_reset(packet);
}

void kit_packet_reset(kit_packet_t *packet)
{
    packet->seq = 0;
    packet->time_ms = 0;
    packet->frames = 0;
    packet->broken = false;
}

void kit_packet_add(kit_packet_t *packet, const uint8_t *frame, uint16_t time_ms)
{
    if (kit_packet_full(packet)) {
        return;
    }
    if (frame != NULL) {
        memcpy(packet->body + (size_t)packet->frames * packet->frame_bytes, frame, packet->frame_bytes);
    } else {
        packet->broken = true;
    }
    packet->time_ms = time_ms;
    packet->frames++;
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
    return (uint16_t)(packet->frames_max * packet->frame_bytes);
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
    packet->frames = 0;
    packet->broken = false;
}

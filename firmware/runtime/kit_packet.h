/* Frames into packets: the bodies of `frames_max` frames one behind the other, with one sequence number and one time
 * stamp (packet.frames_per_packet of the configuration). The codec knows nothing of it: it yields one frame at a time.
 *
 *     const uint8_t *frame = kit_codec_packet(&codec, &frame_bytes);       // after KIT_PACKET
 *     kit_packet_add(&packet, frame, frame_bytes, time_ms);
 *     if (kit_packet_full(&packet)) {
 *         bytes = kit_packet_bare(&packet, notification);                  // or kit_reply_packet for the serial line
 *         kit_packet_next(&packet);
 *     }
 *
 * Where frames have lengths of their own (packet.coding: range), every frame but a packet's last stands behind its length.
 *
 * The bare packet has no framing and no check value. It is for transports that keep messages apart and check them, such
 * as Bluetooth LE notifications: seq u16, time_ms u16, then the frames (firmware/PROTOCOL.md, Bare packet). */
#ifndef KIT_PACKET_H
#define KIT_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit_protocol.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Length of a bare packet whose body has `body_bytes` bytes. */
#define KIT_BARE_BYTES(body_bytes) (KIT_BARE_HEADER_BYTES + (body_bytes))

typedef struct {
    uint8_t *body;         /* room for frames_max frames of frame_bytes and the lengths between them */
    uint16_t frame_bytes;  /* body of one frame, or of the longest: packet_bytes of the model */
    uint16_t length;       /* bytes of the body so far */
    uint16_t seq;          /* number of the packet being filled, modulo 65536 */
    uint16_t time_ms;      /* when the last sample of its newest frame arrived, modulo 65536 */
    uint8_t frames_max;    /* frames of a packet, 1..16 */
    uint8_t frames;        /* frames added so far, lost ones included */
    uint8_t length_bytes;  /* of the length before every frame but the last: 0, 1 or 2 */
    bool broken;           /* one of them was lost */
} kit_packet_t;

/* Prepare for packets of `frames_max` frames of up to `frame_bytes` bytes, with `length_bytes` bytes of length before
 * every frame but the last; `body` holds them all and stays the packet's. Begins at seq 0. */
void kit_packet_init(kit_packet_t *packet, uint8_t *body, uint16_t frame_bytes, uint8_t frames_max, uint8_t length_bytes);

/* Begin a new stream: an empty packet, seq 0. */
void kit_packet_reset(kit_packet_t *packet);

/* Add the next frame of `bytes` bytes, which is copied; NULL for one that was lost, which spoils the whole packet, and so
 * does a frame longer than frame_bytes. Does nothing while the packet is full. */
void kit_packet_add(kit_packet_t *packet, const uint8_t *frame, uint16_t bytes, uint16_t time_ms);

/* All its frames were added: send it, or leave it out, and then call kit_packet_next. */
bool kit_packet_full(const kit_packet_t *packet);

/* A frame of it was lost: it must be left out. The receiver sees the gap in seq. */
bool kit_packet_broken(const kit_packet_t *packet);

/* Length of the body of a full packet in bytes. */
uint16_t kit_packet_body_bytes(const kit_packet_t *packet);

/* Write a full packet as bare packet into `target`, which holds KIT_BARE_BYTES of its body; returns the length. */
size_t kit_packet_bare(const kit_packet_t *packet, uint8_t *target);

/* Go on with an empty packet under the next number. */
void kit_packet_next(kit_packet_t *packet);

#ifdef __cplusplus
}
#endif

#endif /* KIT_PACKET_H */

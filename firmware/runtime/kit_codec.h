/* The codec: raw samples in, packets of RVQ indices out, a bounded step at a time. No heap, no float, no blocking.
 *
 * Usage, with a model that was rendered under the prefix `ppg`:
 *
 *     #include "ppg_codec.h"
 *     static ppg_storage_t storage;                             // all the RAM it needs
 *
 *     if (ppg_init(&storage) != KIT_OK) { ... }                 // once
 *     kit_codec_push(&storage.codec, &sample, 1);               // in the sensor interrupt, or anywhere
 *     while (kit_codec_poll(&storage.codec) != KIT_IDLE) {      // in the main loop; stop after any step you like
 *         uint16_t bytes;
 *         const uint8_t *packet = kit_codec_packet(&storage.codec, &bytes);
 *         if (packet != NULL) { send(packet, bytes); }          // copy or send it before the next poll
 *     }
 *
 * Any number of codecs, of one or several models, may run side by side; each is only its storage.
 *
 * Input. Samples wait in one ring of T + margin of them (T: frame length; margin: firmware.ring_margin_samples of the
 * configuration). Frames follow each other without gap or overlap, from the first sample after initialisation or
 * kit_codec_reset. A frame is coded from the moment that its last sample is in the ring; its samples are freed one by
 * one while the encoder reads them, so that the next frame collects meanwhile. Input stays gap-free as long as the
 * ring never fills up: from a frame's last sample to the encoder's first reads, no more than `margin` samples may
 * arrive, and after that the encoder must read faster than the sensor writes.
 *
 * Overrun. A sample that finds the ring full is dropped and counted (kit_codec_dropped). Nothing is invented in its
 * place and no frame is abandoned: the next sample that fits takes the place of the first one dropped, so that every
 * frame has T samples and later frames begin that much later. Frames that contain the joint, or border on it, say so
 * (kit_codec_has_gap).
 *
 * Output. One packet is held at a time. Until it is fetched with kit_codec_packet, kit_codec_poll does nothing and
 * returns KIT_PACKET; the ring then fills up like for any other delay. */
#ifndef KIT_CODEC_H
#define KIT_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "kit_coding.h"
#include "kit_common.h"
#include "kit_engine.h"
#include "kit_model.h"
#include "kit_normalise.h"
#include "kit_pack.h"
#include "kit_rvq.h"
#include "kit_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KIT_SCAN_SAMPLES_MAX 64 /* samples that one poll takes into the frame statistics */
#define KIT_FEED_SAMPLES_MAX 16 /* samples that one poll feeds to the engine */

/* State of one codec. Opaque: use the functions below; the rendered <prefix>_init prepares it. Fields that the pushing
 * side writes are marked P; everything else belongs to the polling side. */
typedef struct {
    const kit_model_t *model;
    kit_engine_t *engine;
    kit_sample_t *ring;         /* ring_samples slots, one of which always stays empty */
    int16_t *residual;          /* values of a codebook row */
    uint8_t *packet;            /* packet_bytes of the model */
    uint16_t ring_samples;      /* T + margin + 1 */
    volatile uint16_t head;     /* P: slot that the next sample goes into */
    volatile uint16_t tail;     /* oldest sample still needed */
    volatile uint32_t dropped;  /* P: samples dropped, modulo 2^32 */
    uint32_t dropped_seen;      /* value of dropped when the tail last moved */
    uint32_t frames;            /* packets completed, modulo 2^32 */
    kit_statistics_t statistics;
    kit_scale_t scale;
    kit_packer_t packer;
    const int8_t *latent;       /* the column being searched */
    uint16_t gap_first;         /* samples from the tail to the first known joint */
    uint16_t gap_last;          /* samples from the tail to the last known joint */
    uint16_t scan;              /* slot of the next sample for the statistics */
    uint16_t fed;               /* samples of the frame fed to the engine, 0..T */
    uint16_t position;          /* latent position being coded, 0..P */
    uint8_t level;              /* RVQ level being searched */
    uint8_t phase;              /* what the next poll does */
    uint8_t gap_known;          /* a joint lies in or behind the samples of the ring */
    uint8_t has_gap;            /* a joint lies in or at the border of the frame being coded */
#if KIT_RANGE_CODING
    kit_coder_t *coder;         /* for a model with range-coded indices, else null */
    uint8_t *code;              /* the frame's range code while it grows, as long as its packed indices */
#endif
#if KIT_BEAM_SEARCH
    kit_rvq_path_t *paths;      /* best choices for the levels before, for a model with an M-best search, else null */
    uint8_t path_count;         /* how many they are */
#endif
} kit_codec_t;

/* Memory of one codec besides its state; the rendered <prefix>_storage_t holds it in the right sizes. */
typedef struct {
    kit_sample_t *ring;
    int16_t *residual;
    uint8_t *packet;
    uint16_t ring_samples;   /* slots of ring, at least T + 2 */
    uint16_t residual_count; /* values of residual, at least those of a codebook row */
    uint16_t packet_bytes;   /* bytes of packet, at least the model's packet_bytes */
#if KIT_RANGE_CODING
    kit_coder_t *coder;      /* null for a model with indices of fixed width */
    uint8_t *code;
    uint16_t code_bytes;     /* bytes of code, at least kit_model_index_bytes */
#endif
#if KIT_BEAM_SEARCH
    kit_rvq_path_t *paths;   /* null for a model without M-best search */
    uint8_t path_count;      /* at least codebook.beam */
#endif
} kit_codec_memory_t;

/* Prepare a codec. The rendered <prefix>_init calls this with everything that belongs together.
 * Returns KIT_OK, KIT_ERR_ARGUMENT (a null pointer) or KIT_ERR_MODEL (model, engine and memory do not fit). */
kit_status_t kit_codec_init(kit_codec_t *codec, const kit_model_t *model, kit_engine_t *engine,
                            const kit_codec_memory_t *memory);

/* Throw away every waiting sample and the frame in progress, and set all counters to 0. Do not call it while
 * kit_codec_push may interrupt. */
void kit_codec_reset(kit_codec_t *codec);

/* Add `count` samples, oldest first. May be called from one interrupt while the main program polls (one producer, one
 * consumer). Returns how many were taken; the others were dropped and counted. With KIT_SAMPLE_BITS 32, samples are
 * limited to 24 bits (16 for a model of up to 16 sample bits). */
size_t kit_codec_push(kit_codec_t *codec, const kit_sample_t *samples, size_t count);

/* Samples that kit_codec_push would take now. */
size_t kit_codec_room(const kit_codec_t *codec);

/* Do one bounded step. Returns
 *     KIT_IDLE    nothing to do until more samples arrive
 *     KIT_BUSY    a step was done, there is more
 *     KIT_COLUMN  the latent position kit_codec_position is coded; kit_codec_latent shows its latent
 *     KIT_PACKET  a packet waits to be fetched with kit_codec_packet
 * or the negative status of an engine that failed; the frame is then lost and the next poll goes on with the next. */
kit_status_t kit_codec_poll(kit_codec_t *codec);

/* Fetch the packet that waits; NULL when none does. Stays valid until the next kit_codec_poll. `bytes` receives its
 * length, which is packet_bytes of the model, or up to that where indices are range-coded; it may be NULL. */
const uint8_t *kit_codec_packet(kit_codec_t *codec, uint16_t *bytes);

/* After KIT_COLUMN: the INT8 latent of that position, int8 [C][D], and its number 0..P-1. */
const int8_t *kit_codec_latent(const kit_codec_t *codec);
uint16_t kit_codec_position(const kit_codec_t *codec);

/* Packets completed since initialisation or reset, modulo 2^32; the packet that KIT_PACKET announces is counted. */
uint32_t kit_codec_frames(const kit_codec_t *codec);

/* Samples dropped since initialisation or reset, modulo 2^32. */
uint32_t kit_codec_dropped(const kit_codec_t *codec);

/* After KIT_PACKET: 1 when samples were dropped inside that frame or at its border, else 0. */
int kit_codec_has_gap(const kit_codec_t *codec);

#ifdef __cplusplus
}
#endif

#endif /* KIT_CODEC_H */

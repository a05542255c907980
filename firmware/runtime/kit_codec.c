#include "kit_codec.h"

#include <string.h>

#include "kit_probe.h"

/* What the next poll does. A frame passes through the phases in this order. */
enum {
    PHASE_SCAN,   /* take samples into the statistics as they arrive */
    PHASE_ENCODE, /* step the engine, feed it samples */
    PHASE_SEARCH, /* one RVQ level of the latent position at hand */
    PHASE_PACKET  /* the packet waits to be fetched */
};

/* ---- range-coded indices: coded as they are found, beside the packed ones, which stay where they are not longer ---- */

#if KIT_RANGE_CODING

static int coding_fits(const kit_model_t *model, const kit_codec_memory_t *memory)
{
    return model->coding == NULL || (memory->coder != NULL && memory->code != NULL &&
                                     memory->code_bytes >= kit_model_index_bytes(model));
}

static void coding_init(kit_codec_t *codec, const kit_codec_memory_t *memory)
{
    codec->coder = memory->coder;
    codec->code = memory->code;
}

static void coding_begin(kit_codec_t *codec)
{
    if (codec->model->coding != NULL) {
        kit_coder_begin(codec->coder, codec->model->coding, codec->code, kit_model_index_bytes(codec->model));
    }
}

static void coding_put(kit_codec_t *codec, uint8_t level, uint16_t index)
{
    if (codec->model->coding != NULL) {
        kit_coder_put(codec->coder, codec->model->coding, level, index, codec->model->index_bits);
    }
}

/* Put the code in the place of the packed indices, if it is shorter. */
static void coding_end(kit_codec_t *codec)
{
    if (codec->model->coding != NULL) {
        const uint16_t index_bytes = kit_model_index_bytes(codec->model);
        const uint16_t bytes = kit_coder_end(codec->coder);
        if (bytes < index_bytes) {
            const uint16_t side_bytes = (uint16_t)(codec->model->packet_bytes - index_bytes);
            memcpy(codec->packet + side_bytes, codec->code, bytes);
            codec->packer.length = (uint16_t)(side_bytes + bytes);
        }
    }
}

#else

#define coding_fits(model, memory) 1
#define coding_init(codec, memory) (void)0
#define coding_begin(codec) (void)0
#define coding_put(codec, level, index) (void)0
#define coding_end(codec) (void)0

#endif

/* ---- M-best search: the choices of a level wait for the next ---- */

#if KIT_BEAM_SEARCH

static int beam_fits(const kit_model_t *model, const kit_codec_memory_t *memory)
{
    const kit_codebook_t *codebook = &model->codebook;
    return codebook->beam <= 1u || (codebook->beam <= KIT_RVQ_BEAM_MAX && codebook->levels <= KIT_RVQ_LEVELS_MAX &&
                                    memory->paths != NULL && memory->path_count >= codebook->beam);
}

static void beam_init(kit_codec_t *codec, const kit_codec_memory_t *memory)
{
    codec->paths = memory->paths;
    codec->path_count = 0;
}

#else

#define beam_fits(model, memory) 1
#define beam_init(codec, memory) (void)0

#endif

kit_status_t kit_codec_init(kit_codec_t *codec, const kit_model_t *model, kit_engine_t *engine,
                            const kit_codec_memory_t *memory)
{
    if (codec == NULL || model == NULL || engine == NULL || memory == NULL || memory->ring == NULL ||
        memory->residual == NULL || memory->packet == NULL) {
        return KIT_ERR_ARGUMENT;
    }
    const kit_engine_info_t info = kit_engine_info(engine);
    if (info.frame_samples != model->frame_samples || info.positions != model->positions ||
        info.input_channels != (model->remainder_bits != 0 ? 2u : 1u) ||
        info.channels != model->codebook.copies * model->codebook.dims ||
        model->frame_samples == 0 || model->frame_samples > KIT_FRAME_SAMPLES_MAX ||
        model->remainder_bits > KIT_REMAINDER_BITS_MAX) {
        return KIT_ERR_MODEL;
    }
    if (memory->ring_samples < model->frame_samples + 2 || memory->residual_count < model->codebook.stride ||
        memory->packet_bytes < model->packet_bytes || !coding_fits(model, memory) || !beam_fits(model, memory)) {
        return KIT_ERR_MODEL;
    }
    codec->model = model;
    codec->engine = engine;
    codec->ring = memory->ring;
    codec->ring_samples = memory->ring_samples;
    codec->residual = memory->residual;
    codec->packet = memory->packet;
    coding_init(codec, memory);
    beam_init(codec, memory);
    kit_codec_reset(codec);
    return KIT_OK;
}

void kit_codec_reset(kit_codec_t *codec)
{
    codec->head = 0;
    codec->tail = 0;
    codec->dropped = 0;
    codec->dropped_seen = 0;
    codec->gap_first = 0;
    codec->gap_last = 0;
    codec->gap_known = 0;
    codec->has_gap = 0;
    codec->frames = 0;
    codec->scan = 0;
    codec->fed = 0;
    codec->position = 0;
    codec->level = 0;
    codec->latent = NULL;
    codec->phase = PHASE_SCAN;
    kit_statistics_begin(&codec->statistics);
    kit_pack_begin(&codec->packer, codec->packet, codec->model->packet_bytes);
    kit_scale_of(&codec->scale, &codec->statistics, codec->model->lsb_bits);
}

static uint16_t next_slot(const kit_codec_t *codec, uint16_t slot)
{
    return (uint16_t)(slot + 1 == codec->ring_samples ? 0 : slot + 1);
}

static kit_sample_t limited(const kit_model_t *model, kit_sample_t sample)
{
#if KIT_SAMPLE_BITS == 16
    (void)model;
    return sample;
#else
    return kit_clamp32(sample, -model->sample_max - 1, model->sample_max);
#endif
}

size_t kit_codec_push(kit_codec_t *codec, const kit_sample_t *samples, size_t count)
{
    uint16_t head = codec->head;
    size_t taken = 0;
    for (; taken < count; taken++) {
        const uint16_t next = next_slot(codec, head);
        if (next == codec->tail) {
            break;
        }
        codec->ring[head] = limited(codec->model, samples[taken]);
        head = next;
    }
    KIT_BARRIER(); /* the samples are in the ring before the head says so */
    codec->head = head;
    if (taken < count) {
        codec->dropped = codec->dropped + (uint32_t)(count - taken);
    }
    return taken;
}

static uint16_t waiting(const kit_codec_t *codec)
{
    const uint16_t head = codec->head;
    const uint16_t tail = codec->tail;
    return (uint16_t)(head >= tail ? head - tail : codec->ring_samples - tail + head);
}

size_t kit_codec_room(const kit_codec_t *codec)
{
    return (size_t)(codec->ring_samples - 1 - waiting(codec));
}

/* Before the tail moves: are samples missing near the oldest one? Samples are dropped only while the ring is full, so
 * that what was dropped since the tail last moved is missing right behind a full ring from here (give or take the one
 * sample that may be pushed at this very moment). Between two joints that wait in the ring, every sample counts. */
static void watch_gaps(kit_codec_t *codec)
{
    const uint32_t dropped = codec->dropped;
    if (dropped != codec->dropped_seen) {
        codec->dropped_seen = dropped;
        codec->gap_last = (uint16_t)(codec->ring_samples - 1);
        if (!codec->gap_known) {
            codec->gap_known = 1;
            codec->gap_first = codec->gap_last;
        }
    }
    if (codec->gap_known) {
        if (codec->gap_first <= 1u) {
            codec->has_gap = 1;
        }
        codec->gap_known = codec->gap_last != 0;
        codec->gap_first = (uint16_t)(codec->gap_first - (codec->gap_first != 0));
        codec->gap_last = (uint16_t)(codec->gap_last - (codec->gap_last != 0));
    }
}

/* Free the oldest sample. */
static void advance_tail(kit_codec_t *codec)
{
    watch_gaps(codec);
    KIT_BARRIER(); /* the sample was read before its slot is given away */
    codec->tail = next_slot(codec, codec->tail);
}

/* The statistics of the frame are complete: the encoder may start. */
static void begin_frame(kit_codec_t *codec)
{
    const kit_model_t *model = codec->model;
    KIT_PROBE_ENTER(KIT_PROBE_NORMALISE);
    kit_scale_of(&codec->scale, &codec->statistics, model->lsb_bits);
    codec->scale.shaping = model->input_shaping;
    codec->scale.remainder_bits = model->remainder_bits;
    KIT_PROBE_LEAVE(KIT_PROBE_NORMALISE);
    KIT_PROBE_ENTER(KIT_PROBE_PACK);
    kit_pack_begin(&codec->packer, codec->packet, model->packet_bytes);
    if (model->mean_bytes != 0) {
        kit_pack_put(&codec->packer, (uint32_t)codec->scale.mean, 8u * model->mean_bytes);
        kit_pack_put(&codec->packer, codec->scale.scale_code, 8u);
    }
    coding_begin(codec);
    KIT_PROBE_LEAVE(KIT_PROBE_PACK);
    KIT_PROBE_ENTER(KIT_PROBE_SCHEDULE);
    kit_engine_begin(codec->engine);
    KIT_PROBE_LEAVE(KIT_PROBE_SCHEDULE);
    codec->has_gap = 0;
    codec->fed = 0;
    codec->position = 0;
    codec->phase = PHASE_ENCODE;
}

static kit_status_t scan(kit_codec_t *codec)
{
    const uint16_t head = codec->head;
    unsigned budget = KIT_SCAN_SAMPLES_MAX;
    if (codec->scan == head) {
        return KIT_IDLE;
    }
    KIT_BARRIER(); /* the head was read before the samples below it */
    while (codec->scan != head && budget != 0) {
        KIT_PROBE_ENTER(KIT_PROBE_NORMALISE);
        kit_statistics_add(&codec->statistics, codec->ring[codec->scan]);
        KIT_PROBE_LEAVE(KIT_PROBE_NORMALISE);
        codec->scan = next_slot(codec, codec->scan);
        budget--;
        if (codec->statistics.samples == codec->model->frame_samples) {
            begin_frame(codec);
            break;
        }
    }
    return KIT_BUSY;
}

/* Normalise the frame's next sample into the engine and free its slot. Returns what the engine says. */
static int feed(kit_codec_t *codec)
{
    KIT_PROBE_ENTER(KIT_PROBE_NORMALISE);
    const int8_t *column = kit_normalise(&codec->scale, codec->ring[codec->tail]);
    KIT_PROBE_LEAVE(KIT_PROBE_NORMALISE);
    KIT_PROBE_ENTER(KIT_PROBE_SCHEDULE);
    const int result = kit_engine_put(codec->engine, column);
    KIT_PROBE_LEAVE(KIT_PROBE_SCHEDULE);
    advance_tail(codec);
    codec->fed++;
    return result;
}

/* Leave the frame: free the samples the encoder had no use for, and gather the statistics of the next one. */
static void end_frame(kit_codec_t *codec)
{
    while (codec->fed < codec->model->frame_samples) {
        advance_tail(codec);
        codec->fed++;
    }
    kit_statistics_begin(&codec->statistics);
    codec->scan = codec->tail;
}

static int step_engine(kit_codec_t *codec)
{
    KIT_PROBE_ENTER(KIT_PROBE_SCHEDULE);
    const int result = kit_engine_step(codec->engine);
    KIT_PROBE_LEAVE(KIT_PROBE_SCHEDULE);
    return result;
}

static kit_status_t encode(kit_codec_t *codec)
{
    int result = step_engine(codec);
    for (unsigned fed = 0; result == KIT_ENGINE_NEED_INPUT && fed < KIT_FEED_SAMPLES_MAX; fed++) {
        if (codec->fed == codec->model->frame_samples) {
            result = KIT_ERR_ENGINE; /* asks for more than a frame */
            break;
        }
        result = feed(codec);
        if (result == KIT_ENGINE_BUSY) {
            result = step_engine(codec);
        }
    }
    if (result == KIT_ENGINE_COLUMN) {
        codec->latent = kit_engine_column(codec->engine);
        KIT_PROBE_ENTER(KIT_PROBE_LEVEL(0));
        kit_rvq_begin(&codec->model->codebook, codec->latent, codec->residual);
        KIT_PROBE_LEAVE(KIT_PROBE_LEVEL(0));
        codec->level = 0;
        codec->phase = PHASE_SEARCH;
    } else if (result == KIT_ENGINE_DONE || result < 0) {
        /* Done before the last position, or failed: the frame cannot be completed. */
        end_frame(codec);
        codec->phase = PHASE_SCAN;
        return result < 0 ? (kit_status_t)result : KIT_ERR_ENGINE;
    }
    return KIT_BUSY;
}

/* Add an index to the packet. */
static void put_index(kit_codec_t *codec, uint8_t level, uint16_t index)
{
    (void)level; /* of no interest to indices of fixed width */
    KIT_PROBE_ENTER(KIT_PROBE_PACK);
    kit_pack_put(&codec->packer, index, codec->model->index_bits);
    coding_put(codec, level, index);
    KIT_PROBE_LEAVE(KIT_PROBE_PACK);
}

#if KIT_BEAM_SEARCH

/* Search the level at hand for the best choices; behind the last level, the indices of the best one are known. */
static void search_beam(kit_codec_t *codec)
{
    const kit_codebook_t *codebook = &codec->model->codebook;
    KIT_PROBE_ENTER(KIT_PROBE_LEVEL(codec->level));
    codec->path_count = (uint8_t)kit_rvq_beam_level(codebook, codec->level, codec->latent, codec->residual, codec->paths,
                                                    codec->path_count);
    KIT_PROBE_LEAVE(KIT_PROBE_LEVEL(codec->level));
    if (codec->level + 1u == codebook->levels) {
        for (uint8_t level = 0; level < codebook->levels; level++) {
            put_index(codec, level, kit_rvq_path_index(codebook, level, codec->paths));
        }
    }
}

#endif

/* Search the level at hand. */
static void search_level(kit_codec_t *codec)
{
    const kit_codebook_t *codebook = &codec->model->codebook;
#if KIT_BEAM_SEARCH
    if (codebook->beam > 1u) {
        search_beam(codec);
        return;
    }
#endif
    KIT_PROBE_ENTER(KIT_PROBE_LEVEL(codec->level));
    const uint16_t index = kit_rvq_level(codebook, codec->level, codec->residual);
    KIT_PROBE_LEAVE(KIT_PROBE_LEVEL(codec->level));
    put_index(codec, codec->level, index);
}

static kit_status_t search(kit_codec_t *codec)
{
    search_level(codec);
    codec->level++;
    if (codec->level < codec->model->codebook.levels) {
        return KIT_BUSY;
    }
    codec->position++;
    if (codec->position < codec->model->positions) {
        codec->phase = PHASE_ENCODE;
    } else {
        KIT_PROBE_ENTER(KIT_PROBE_PACK);
        (void)kit_pack_end(&codec->packer);
        coding_end(codec);
        KIT_PROBE_LEAVE(KIT_PROBE_PACK);
        end_frame(codec);
        codec->frames++;
        codec->phase = PHASE_PACKET;
    }
    return KIT_COLUMN;
}

kit_status_t kit_codec_poll(kit_codec_t *codec)
{
    switch (codec->phase) {
    case PHASE_SCAN:
        return scan(codec);
    case PHASE_ENCODE:
        return encode(codec);
    case PHASE_SEARCH:
        return search(codec);
    case PHASE_PACKET:
    default:
        return KIT_PACKET;
    }
}

const uint8_t *kit_codec_packet(kit_codec_t *codec, uint16_t *bytes)
{
    if (codec->phase != PHASE_PACKET) {
        return NULL;
    }
    codec->phase = PHASE_SCAN;
    if (bytes != NULL) {
        *bytes = codec->packer.length;
    }
    return codec->packet;
}

const int8_t *kit_codec_latent(const kit_codec_t *codec)
{
    return codec->latent;
}

uint16_t kit_codec_position(const kit_codec_t *codec)
{
    return (uint16_t)(codec->position - 1u);
}

uint32_t kit_codec_frames(const kit_codec_t *codec)
{
    return codec->frames;
}

uint32_t kit_codec_dropped(const kit_codec_t *codec)
{
    return codec->dropped;
}

int kit_codec_has_gap(const kit_codec_t *codec)
{
    return codec->has_gap;
}

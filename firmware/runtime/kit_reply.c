#include "kit_reply.h"

#include <string.h>

#include "kit_engine.h"
#include "kit_port.h"

/* Bits of HELLO.side_information. */
#define KIT_HELLO_SIDE_BIT 1u
#define KIT_HELLO_RANGE_BIT 2u

static uint8_t *begin(kit_link_t *link, uint8_t type)
{
    uint8_t *message = kit_link_message(link);
    message[0] = type;
    return message;
}

/* Zero-padded text; cut off without a terminating zero when it is as long as its field or longer. */
static void put_text(uint8_t *at, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)*text;
        text += *text != '\0';
    }
}

void kit_reply_error(kit_link_t *link, uint8_t request, int status, uint32_t detail)
{
    uint8_t *m = begin(link, KIT_MSG_ERROR);
    m[KIT_ERROR_REQUEST_AT] = request;
    m[KIT_ERROR_STATUS_AT] = (uint8_t)status;
    kit_put_u16(m + KIT_ERROR_DETAIL_AT, detail > 0xFFFFu ? 0xFFFFu : (uint16_t)detail);
    (void)kit_link_send(link, KIT_MSG_ERROR_BYTES);
}

void kit_reply_hello(kit_link_t *link, uint8_t request, const kit_model_t *model, const kit_device_facts_t *facts)
{
    uint8_t *m = begin(link, KIT_MSG_HELLO);
    m[KIT_HELLO_REQUEST_AT] = request;
    m[KIT_HELLO_PROTOCOL_AT] = KIT_PROTOCOL_VERSION;
    memcpy(m + KIT_HELLO_BUILD_HASH_AT, model->build_hash, KIT_HELLO_BUILD_HASH_BYTES);
    put_text(m + KIT_HELLO_TARGET_AT, kit_port_name(), KIT_HELLO_TARGET_BYTES);
    put_text(m + KIT_HELLO_ENGINE_AT, kit_engine_name(), KIT_HELLO_ENGINE_BYTES);
    kit_put_u32(m + KIT_HELLO_SAMPLE_RATE_MHZ_AT, model->sample_rate_mhz);
    kit_put_u16(m + KIT_HELLO_FRAME_SAMPLES_AT, model->frame_samples);
    m[KIT_HELLO_SAMPLE_BITS_AT] = model->sample_bits;
    m[KIT_HELLO_SIDE_INFORMATION_AT] =
        (uint8_t)((model->mean_bytes != 0 ? KIT_HELLO_SIDE_BIT : 0u) |
                  (kit_model_is_range_coded(model) ? KIT_HELLO_RANGE_BIT : 0u));
    kit_put_u16(m + KIT_HELLO_LATENT_POSITIONS_AT, model->positions);
    m[KIT_HELLO_EMBEDDING_DIM_AT] = model->codebook.dims;
    m[KIT_HELLO_NUM_LEVELS_AT] = model->codebook.levels;
    m[KIT_HELLO_INDEX_BITS_AT] = model->index_bits;
    kit_put_u16(m + KIT_HELLO_PACKET_BYTES_AT, facts->body_bytes);
    kit_put_u16(m + KIT_HELLO_EMBEDDED_FRAMES_AT, facts->embedded_frames);
    kit_put_u32(m + KIT_HELLO_STATE_BYTES_AT, facts->state_bytes);
    kit_put_u32(m + KIT_HELLO_ARENA_USED_BYTES_AT, facts->arena_bytes);
    m[KIT_HELLO_FRAMES_PER_PACKET_AT] = facts->frames_per_packet;
    kit_put_u16(m + KIT_HELLO_FRAME_BYTES_AT, model->packet_bytes);
    m[KIT_HELLO_CREDITS_AT] = facts->credits;
#if defined(KIT_PROBES)
    m[KIT_HELLO_PROBES_AT] = 1;
#else
    m[KIT_HELLO_PROBES_AT] = 0;
#endif
    (void)kit_link_send(link, KIT_MSG_HELLO_BYTES);
}

static uint16_t at_most_u16(size_t value)
{
    return value > 0xFFFFu ? (uint16_t)0xFFFFu : (uint16_t)value;
}

void kit_reply_counters(kit_link_t *link, uint8_t request, const kit_app_counters_t *counters)
{
    /* Copied first: building this very message must not count in it. */
    const kit_link_counters_t line = link->counters;
    const kit_port_rx_queue_t queue = kit_port_rx_queue();
    uint8_t *m = begin(link, KIT_MSG_COUNTERS);
    m[KIT_COUNTERS_REQUEST_AT] = request;
    kit_put_u32(m + KIT_COUNTERS_RX_FRAMES_AT, line.rx_frames);
    kit_put_u32(m + KIT_COUNTERS_RX_BAD_CRC_AT, line.rx_bad_crc);
    kit_put_u32(m + KIT_COUNTERS_RX_BAD_LENGTH_AT, line.rx_bad_length);
    kit_put_u32(m + KIT_COUNTERS_RX_OVERRUN_AT, line.rx_overrun);
    kit_put_u32(m + KIT_COUNTERS_TX_PACKETS_AT, counters->tx_packets);
    kit_put_u32(m + KIT_COUNTERS_SAMPLES_DROPPED_AT, counters->samples_dropped);
    kit_put_u32(m + KIT_COUNTERS_RX_LOST_AT, kit_port_rx_overruns());
    kit_put_u16(m + KIT_COUNTERS_RX_QUEUE_MAX_AT, at_most_u16(queue.bytes_max));
    kit_put_u16(m + KIT_COUNTERS_RX_QUEUE_BYTES_AT, at_most_u16(queue.bytes_room));
    kit_put_u32(m + KIT_COUNTERS_TX_DROPPED_AT, counters->tx_dropped);
    kit_put_u16(m + KIT_COUNTERS_TX_QUEUE_MAX_AT, at_most_u16(line.tx_queue_max));
    kit_put_u16(m + KIT_COUNTERS_TX_QUEUE_BYTES_AT, at_most_u16(link->tx_capacity));
    kit_put_u32(m + KIT_COUNTERS_REFUSED_AT, counters->refused);
    kit_put_u32(m + KIT_COUNTERS_PASS_US_MAX_AT, counters->pass_us_max);
    (void)kit_link_send(link, KIT_MSG_COUNTERS_BYTES);
}

void kit_reply_stream_state(kit_link_t *link, uint8_t request, uint8_t state, uint32_t packets, uint32_t dropped)
{
    uint8_t *m = begin(link, KIT_MSG_STREAM_STATE);
    m[KIT_STREAM_STATE_REQUEST_AT] = request;
    m[KIT_STREAM_STATE_STATE_AT] = state;
    kit_put_u32(m + KIT_STREAM_STATE_PACKETS_AT, packets);
    kit_put_u32(m + KIT_STREAM_STATE_DROPPED_AT, dropped);
    (void)kit_link_send(link, KIT_MSG_STREAM_STATE_BYTES);
}

void kit_reply_self_test(kit_link_t *link, uint8_t request, uint16_t frames, uint16_t failed, uint16_t first_failed)
{
    uint8_t *m = begin(link, KIT_MSG_SELF_TEST_RESULT);
    m[KIT_SELF_TEST_RESULT_REQUEST_AT] = request;
    kit_put_u16(m + KIT_SELF_TEST_RESULT_FRAMES_AT, frames);
    kit_put_u16(m + KIT_SELF_TEST_RESULT_FAILED_AT, failed);
    kit_put_u16(m + KIT_SELF_TEST_RESULT_FIRST_FAILED_AT, first_failed);
    (void)kit_link_send(link, KIT_MSG_SELF_TEST_RESULT_BYTES);
}

void kit_reply_encoded(kit_link_t *link, uint16_t frame, uint32_t time_us, const uint8_t *body, uint16_t bytes)
{
    uint8_t *m = begin(link, KIT_MSG_ENCODED);
    kit_put_u16(m + KIT_ENCODED_FRAME_AT, frame);
    kit_put_u32(m + KIT_ENCODED_TIME_US_AT, time_us);
    memcpy(m + KIT_ENCODED_BODY_AT, body, bytes);
    (void)kit_link_send(link, KIT_MSG_ENCODED_BYTES + (size_t)bytes);
}

void kit_reply_packet(kit_link_t *link, const kit_packet_t *packet)
{
    const uint16_t bytes = kit_packet_body_bytes(packet);
    uint8_t *m = begin(link, KIT_MSG_PACKET);
    kit_put_u16(m + KIT_PACKET_SEQ_AT, packet->seq);
    kit_put_u16(m + KIT_PACKET_TIME_MS_AT, packet->time_ms);
    memcpy(m + KIT_PACKET_BODY_AT, packet->body, bytes);
    (void)kit_link_send(link, KIT_MSG_PACKET_BYTES + (size_t)bytes);
}

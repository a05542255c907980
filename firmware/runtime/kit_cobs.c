#include "kit_cobs.h"

#define BLOCK_FULL 0xFFu /* code of a block of 254 data bytes, which no zero follows */

size_t kit_cobs_encode(uint8_t *target, const uint8_t *source, size_t bytes)
{
    size_t code_at = 0;
    size_t length = 1;
    uint8_t code = 1;
    for (size_t i = 0; i < bytes; i++) {
        const uint8_t value = source[i];
        if (value != 0) {
            target[length++] = value;
            code++;
        }
        /* A full block at the very end needs no block behind it: the decoder adds no zero after code 0xFF. */
        if (value == 0 || (code == BLOCK_FULL && i + 1 < bytes)) {
            target[code_at] = code;
            code_at = length++;
            code = 1;
        }
    }
    target[code_at] = code;
    return length;
}

void kit_cobs_begin(kit_cobs_decoder_t *decoder, uint8_t *buffer, size_t capacity)
{
    decoder->buffer = buffer;
    decoder->capacity = capacity;
    decoder->length = 0;
    decoder->code = 0;
    decoder->left = 0;
    decoder->oversize = false;
}

static void append(kit_cobs_decoder_t *decoder, uint8_t value)
{
    if (decoder->length < decoder->capacity) {
        decoder->buffer[decoder->length++] = value;
    } else {
        decoder->oversize = true;
    }
}

static kit_cobs_event_t finish(kit_cobs_decoder_t *decoder)
{
    kit_cobs_event_t event = KIT_COBS_MESSAGE;
    if (decoder->oversize) {
        event = KIT_COBS_OVERSIZE;
    } else if (decoder->left != 0) {
        event = KIT_COBS_TRUNCATED;
    }
    decoder->code = 0;
    decoder->left = 0;
    decoder->oversize = false;
    return event;
}

kit_cobs_event_t kit_cobs_decode(kit_cobs_decoder_t *decoder, uint8_t byte)
{
    if (byte == 0) {
        if (decoder->code == 0) {
            decoder->length = 0; /* nothing since the last delimiter */
        }
        return finish(decoder);
    }
    if (decoder->left != 0) {
        append(decoder, byte);
        decoder->left--;
        return KIT_COBS_MORE;
    }
    if (decoder->code == 0) {
        decoder->length = 0;
    } else if (decoder->code != BLOCK_FULL) {
        append(decoder, 0);
    }
    decoder->code = byte;
    decoder->left = (uint8_t)(byte - 1u);
    return KIT_COBS_MORE;
}

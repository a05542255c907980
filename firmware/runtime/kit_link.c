#include "kit_link.h"

#include <string.h>

#include "kit_crc.h"

void kit_put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value & 0xFFu);
    at[1] = (uint8_t)(value >> 8);
}

void kit_put_u32(uint8_t *at, uint32_t value)
{
    kit_put_u16(at, (uint16_t)(value & 0xFFFFu));
    kit_put_u16(at + 2, (uint16_t)(value >> 16));
}

uint16_t kit_get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | ((uint16_t)at[1] << 8));
}

uint32_t kit_get_u32(const uint8_t *at)
{
    return (uint32_t)kit_get_u16(at) | ((uint32_t)kit_get_u16(at + 2) << 16);
}

/* Check bytes of a message type: the registry marks the long messages. */
static size_t check_bytes(uint8_t type)
{
    return KIT_MSG_IS_LONG(type) ? KIT_CRC32_BYTES : KIT_CRC16_BYTES;
}

static uint32_t check_value(const uint8_t *message, size_t bytes, size_t crc_bytes)
{
    if (crc_bytes == KIT_CRC32_BYTES) {
        return kit_crc32_update(KIT_CRC32_INITIAL, message, bytes) ^ KIT_CRC32_FINAL_XOR;
    }
    return kit_crc16_update((uint16_t)KIT_CRC16_INITIAL, message, bytes);
}

void kit_link_init(kit_link_t *link, uint8_t *rx, size_t rx_bytes, uint8_t *tx, size_t tx_bytes, size_t tx_total)
{
    kit_cobs_begin(&link->decoder, rx, rx_bytes);
    link->counters = (kit_link_counters_t){0, 0, 0, 0, 0};
    link->rx = rx;
    link->rx_capacity = rx_bytes;
    link->tx = tx;
    link->tx_capacity = tx_bytes;
    link->tx_total = tx_total;
    link->tx_from = 0;
    link->tx_to = 0;
}

/* Length without the check value of the message that a delimiter just ended; 0 when it is not valid. */
static size_t accept(kit_link_t *link)
{
    const size_t length = link->decoder.length;
    if (length == 0) {
        return 0; /* two delimiters in a row: how a host wakes or resynchronises a line */
    }
    const size_t crc_bytes = check_bytes(link->rx[0]);
    if (length < 1u + crc_bytes) {
        link->counters.rx_bad_length++;
        return 0;
    }
    const size_t bytes = length - crc_bytes;
    const uint8_t *check = link->rx + bytes;
    const uint32_t received = crc_bytes == KIT_CRC32_BYTES ? kit_get_u32(check) : kit_get_u16(check);
    if (received != check_value(link->rx, bytes, crc_bytes)) {
        link->counters.rx_bad_crc++;
        return 0;
    }
    link->counters.rx_frames++;
    return bytes;
}

size_t kit_link_receive(kit_link_t *link, uint8_t byte)
{
    switch (kit_cobs_decode(&link->decoder, byte)) {
    case KIT_COBS_MESSAGE:
        return accept(link);
    case KIT_COBS_TRUNCATED:
        link->counters.rx_bad_length++;
        return 0;
    case KIT_COBS_OVERSIZE:
        link->counters.rx_overrun++;
        return 0;
    case KIT_COBS_MORE:
    default:
        return 0;
    }
}

bool kit_link_tx_idle(const kit_link_t *link)
{
    return link->tx_from == link->tx_to;
}

bool kit_link_tx_room(const kit_link_t *link)
{
    return link->tx_to - link->tx_from + KIT_LINK_TX_BYTES(link->tx_total) <= link->tx_capacity;
}

/* Where a message is built, once what waits stands at the front: encoding then never overtakes what it reads. */
static uint8_t *workplace(kit_link_t *link)
{
    return link->tx + link->tx_to + KIT_COBS_OVERHEAD(link->tx_total);
}

uint8_t *kit_link_message(kit_link_t *link)
{
    if (link->tx_from != 0) {
        link->tx_to -= link->tx_from;
        memmove(link->tx, link->tx + link->tx_from, link->tx_to);
        link->tx_from = 0;
    }
    return workplace(link);
}

bool kit_link_send(kit_link_t *link, size_t bytes)
{
    if (link->tx_from != 0 || !kit_link_tx_room(link) || bytes == 0) {
        return false;
    }
    uint8_t *message = workplace(link);
    const size_t crc_bytes = check_bytes(message[0]);
    if (bytes + crc_bytes > link->tx_total) {
        return false;
    }
    const uint32_t check = check_value(message, bytes, crc_bytes);
    if (crc_bytes == KIT_CRC32_BYTES) {
        kit_put_u32(message + bytes, check);
    } else {
        kit_put_u16(message + bytes, (uint16_t)check);
    }
    link->tx_to += kit_cobs_encode(link->tx + link->tx_to, message, bytes + crc_bytes);
    link->tx[link->tx_to++] = KIT_WIRE_DELIMITER;
    if (link->tx_to > link->counters.tx_queue_max) {
        link->counters.tx_queue_max = link->tx_to;
    }
    return true;
}

const uint8_t *kit_link_pending(const kit_link_t *link, size_t *bytes)
{
    *bytes = link->tx_to - link->tx_from;
    return link->tx + link->tx_from;
}

void kit_link_taken(kit_link_t *link, size_t bytes)
{
    link->tx_from += bytes;
    if (link->tx_from == link->tx_to) {
        link->tx_from = 0;
        link->tx_to = 0;
    }
}

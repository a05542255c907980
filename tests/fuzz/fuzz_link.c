/* libFuzzer target: the link's receiver on whatever the line brings, and its sender on whatever it is given.
 *
 * First byte: size of the receive buffer. Second byte, modulo 4: 0 or 2: the rest is what the line brings; 1: the rest is
 * a message to send, which must then arrive as it was; 3: the rest is a sequence of messages to queue (a byte below 128:
 * its length, then its bytes) and of pieces that the line takes (a byte from 128: 128 and their length). */
#include <stdlib.h>
#include <string.h>

#include "kit_link.h"

#define MESSAGE_BYTES_MAX 1024u
#define QUEUED_TOTAL_MAX 100u /* of a message in the test of the queue, check value included */
#define QUEUED_BYTES_MAX (QUEUED_TOTAL_MAX - KIT_CRC16_BYTES)
#define TOTAL_MAX (MESSAGE_BYTES_MAX + KIT_CRC32_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

/* A message on the line arrives once, unchanged, at a receiver of its own. */
static void check_line(const uint8_t *line, size_t length, const uint8_t *message, size_t bytes)
{
    static uint8_t rx[TOTAL_MAX];
    static uint8_t tx[KIT_LINK_TX_BYTES(1)];
    kit_link_t receiver;
    kit_link_init(&receiver, rx, sizeof rx, tx, sizeof tx, 1);
    require(length != 0 && memchr(line, 0, length) == line + length - 1);
    for (size_t i = 0; i < length; i++) {
        require(kit_link_receive(&receiver, line[i]) == (i + 1 == length ? bytes : 0));
    }
    require(receiver.counters.rx_frames == 1 && memcmp(rx, message, bytes) == 0);
}

static void send(const uint8_t *message, size_t bytes)
{
    static uint8_t rx[1];
    static uint8_t tx[KIT_LINK_TX_BYTES(TOTAL_MAX)];
    kit_link_t sender;
    kit_link_init(&sender, rx, sizeof rx, tx, sizeof tx, TOTAL_MAX);
    memcpy(kit_link_message(&sender), message, bytes);
    require(kit_link_send(&sender, bytes) == (bytes != 0));
    size_t length;
    const uint8_t *line = kit_link_pending(&sender, &length);
    if (bytes != 0) {
        check_line(line, length, message, bytes);
    }
}

/* The receiving end of a queue: every message arrives, in order, unchanged. */
typedef struct {
    kit_link_t link;
    uint8_t rx[QUEUED_TOTAL_MAX];
    uint8_t tx[KIT_LINK_TX_BYTES(1)];
    uint8_t sent[MESSAGE_BYTES_MAX]; /* bytes of the messages queued and not yet arrived */
    size_t sent_bytes;
    uint32_t queued;
} peer_t;

static void arrive(peer_t *peer, const uint8_t *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const size_t bytes = kit_link_receive(&peer->link, line[i]);
        if (bytes != 0) {
            require(bytes <= peer->sent_bytes && memcmp(peer->rx, peer->sent, bytes) == 0);
            peer->sent_bytes -= bytes;
            memmove(peer->sent, peer->sent + bytes, peer->sent_bytes);
        }
    }
}

static size_t take(kit_link_t *sender, peer_t *peer, size_t most)
{
    size_t pending;
    const uint8_t *line = kit_link_pending(sender, &pending);
    const size_t count = pending < most ? pending : most;
    arrive(peer, line, count);
    kit_link_taken(sender, count);
    return count;
}

static void queue(const uint8_t *data, size_t size)
{
    static uint8_t rx[1];
    static uint8_t tx[2u * KIT_LINK_TX_BYTES(QUEUED_TOTAL_MAX)];
    static peer_t peer;
    kit_link_t sender;
    kit_link_init(&sender, rx, sizeof rx, tx, sizeof tx, QUEUED_TOTAL_MAX);
    kit_link_init(&peer.link, peer.rx, sizeof peer.rx, peer.tx, sizeof peer.tx, 1);
    peer.sent_bytes = 0;
    peer.queued = 0;
    for (size_t at = 0; at < size; at++) {
        if (data[at] >= 128u) {
            (void)take(&sender, &peer, data[at] - 128u);
            continue;
        }
        const size_t bytes = data[at];
        if (bytes > size - at - 1) {
            break;
        }
        const bool room = kit_link_tx_room(&sender);
        if (room && bytes <= QUEUED_TOTAL_MAX) {
            memcpy(kit_link_message(&sender), data + at + 1, bytes);
        }
        const bool fits = bytes != 0 && bytes <= QUEUED_BYTES_MAX && room;
        if (kit_link_send(&sender, bytes)) {
            require(fits);
            memcpy(peer.sent + peer.sent_bytes, data + at + 1, bytes);
            peer.sent_bytes += bytes;
            peer.queued++;
        } else {
            /* Refused for its length: with the longer check value it would not fit. */
            require(!fits || bytes + KIT_CRC32_BYTES > QUEUED_TOTAL_MAX);
        }
        at += bytes;
    }
    while (take(&sender, &peer, 7) != 0) {
    }
    require(kit_link_tx_idle(&sender) && peer.sent_bytes == 0 && peer.link.counters.rx_frames == peer.queued);
    require(sender.counters.tx_queue_max <= sizeof tx);
}

static void receive(size_t capacity, const uint8_t *data, size_t size)
{
    static uint8_t tx[KIT_LINK_TX_BYTES(1)];
    kit_link_t link;
    /* Allocated to size, so that the sanitizer sees the first byte behind it. */
    uint8_t *rx = malloc(capacity);
    uint32_t accepted = 0;
    require(rx != NULL);
    kit_link_init(&link, rx, capacity, tx, sizeof tx, 1);
    for (size_t i = 0; i < size; i++) {
        const size_t bytes = kit_link_receive(&link, data[i]);
        if (bytes != 0) {
            require(bytes < capacity && data[i] == 0);
            accepted++;
            send(rx, bytes);
        }
    }
    const kit_link_counters_t *c = &link.counters;
    require(c->rx_frames == accepted);
    require(c->rx_frames + c->rx_bad_crc + c->rx_bad_length + c->rx_overrun <= size);
    free(rx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size - 2 > MESSAGE_BYTES_MAX) {
        return 0;
    }
    switch (data[1] % 4u) {
    case 1:
        send(data + 2, size - 2);
        break;
    case 3:
        queue(data + 2, size - 2);
        break;
    default:
        receive(4u + data[0], data + 2, size - 2);
        break;
    }
    return 0;
}

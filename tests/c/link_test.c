/* CRC, COBS and the link: known values, block boundaries, and everything a line can do to a message. */
#include <string.h>

#include "check.h"
#include "kit_cobs.h"
#include "kit_crc.h"
#include "kit_link.h"

#define BYTES_MAX 700u
#define RX_BYTES 64u
#define TX_BYTES KIT_LINK_TX_BYTES(RX_BYTES)

static uint8_t rx[RX_BYTES];
static uint8_t tx[TX_BYTES];
static kit_link_t link;

static void begin(void)
{
    kit_link_init(&link, rx, sizeof rx, tx, sizeof tx, RX_BYTES);
}

/* ---- check values ---- */

static void test_crc(void)
{
    const uint8_t digits[] = "123456789";
    CHECK(kit_crc16_update(KIT_CRC16_INITIAL, digits, 9) == 0x29B1u);
    CHECK(kit_crc16_update(KIT_CRC16_INITIAL, digits, 0) == 0xFFFFu);
    CHECK((kit_crc32_update(KIT_CRC32_INITIAL, digits, 9) ^ KIT_CRC32_FINAL_XOR) == 0xCBF43926u);
    CHECK((kit_crc32_update(KIT_CRC32_INITIAL, digits, 0) ^ KIT_CRC32_FINAL_XOR) == 0u);
    for (size_t split = 0; split <= 9; split++) {
        uint16_t crc16 = kit_crc16_update(KIT_CRC16_INITIAL, digits, split);
        uint32_t crc32 = kit_crc32_update(KIT_CRC32_INITIAL, digits, split);
        CHECK(kit_crc16_update(crc16, digits + split, 9 - split) == 0x29B1u);
        crc32 = kit_crc32_update(crc32, digits + split, 9 - split);
        CHECK((crc32 ^ KIT_CRC32_FINAL_XOR) == 0xCBF43926u);
    }
}

/* ---- framing ---- */

static void check_encoding(const uint8_t *data, size_t bytes, const uint8_t *expected, size_t expected_bytes)
{
    uint8_t encoded[16];
    CHECK(kit_cobs_encode(encoded, data, bytes) == expected_bytes);
    CHECK(memcmp(encoded, expected, expected_bytes) == 0);
}

static void test_cobs_known(void)
{
    const uint8_t data[] = {0x11, 0x22, 0x00, 0x33, 0x00, 0x00};
    const uint8_t nothing[] = {0x01};
    const uint8_t two_bytes[] = {0x03, 0x11, 0x22};
    const uint8_t inner_zero[] = {0x03, 0x11, 0x22, 0x02, 0x33};
    const uint8_t all[] = {0x03, 0x11, 0x22, 0x02, 0x33, 0x01, 0x01};
    check_encoding(data, 0, nothing, 1);
    check_encoding(data, 2, two_bytes, 3);
    check_encoding(data, 4, inner_zero, 5);
    check_encoding(data, 6, all, 7);
}

static void check_round_trip(const uint8_t *data, size_t bytes)
{
    static uint8_t encoded[BYTES_MAX + KIT_COBS_OVERHEAD(BYTES_MAX)];
    static uint8_t in_place[BYTES_MAX + KIT_COBS_OVERHEAD(BYTES_MAX)];
    static uint8_t decoded[BYTES_MAX];
    const size_t length = kit_cobs_encode(encoded, data, bytes);
    CHECK(length <= bytes + KIT_COBS_OVERHEAD(bytes));
    CHECK(memchr(encoded, 0, length) == NULL);
    memcpy(in_place + KIT_COBS_OVERHEAD(bytes), data, bytes);
    CHECK(kit_cobs_encode(in_place, in_place + KIT_COBS_OVERHEAD(bytes), bytes) == length);
    CHECK(memcmp(in_place, encoded, length) == 0);

    kit_cobs_decoder_t decoder;
    kit_cobs_begin(&decoder, decoded, bytes);
    for (size_t i = 0; i < length; i++) {
        CHECK(kit_cobs_decode(&decoder, encoded[i]) == KIT_COBS_MORE);
    }
    CHECK(kit_cobs_decode(&decoder, 0) == KIT_COBS_MESSAGE);
    CHECK(decoder.length == bytes && memcmp(decoded, data, bytes) == 0);
}

static void test_cobs_round_trip(void)
{
    static uint8_t data[BYTES_MAX];
    unsigned state = 1;
    for (size_t bytes = 0; bytes <= BYTES_MAX; bytes++) {
        memset(data, 0, sizeof data);
        check_round_trip(data, bytes);
        memset(data, 0xFF, sizeof data);
        check_round_trip(data, bytes);
        /* A zero on either side of each block boundary. */
        for (size_t at = 252; at < bytes && at <= 256; at++) {
            memset(data, 0x5A, sizeof data);
            data[at] = 0;
            check_round_trip(data, bytes);
        }
        for (size_t i = 0; i < bytes; i++) {
            data[i] = random_byte(&state) & 3u ? random_byte(&state) : 0;
        }
        check_round_trip(data, bytes);
    }
}

/* ---- the link ---- */

static size_t feed(const uint8_t *bytes, size_t count)
{
    size_t accepted = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t length = kit_link_receive(&link, bytes[i]);
        CHECK(length <= sizeof rx);
        if (length != 0) {
            accepted = length;
        }
    }
    return accepted;
}

/* What a host would put on the line for a message; returns its length, delimiter included. */
static size_t on_the_line(uint8_t *line, const uint8_t *message, size_t bytes)
{
    static uint8_t scratch[BYTES_MAX];
    static kit_link_t host;
    kit_link_init(&host, scratch, 1, scratch, sizeof scratch, BYTES_MAX - 8u);
    memcpy(kit_link_message(&host), message, bytes);
    CHECK(kit_link_send(&host, bytes));
    size_t length;
    const uint8_t *pending = kit_link_pending(&host, &length);
    memcpy(line, pending, length);
    return length;
}

static void test_receive(void)
{
    const uint8_t message[] = {KIT_MSG_HELLO_REQUEST, 0, 1, 0, 0};
    uint8_t line[2 * BYTES_MAX];
    begin();
    size_t length = on_the_line(line, message, sizeof message);
    CHECK(feed(line, length) == sizeof message && memcmp(rx, message, sizeof message) == 0);
    CHECK(feed(line, length) == sizeof message);

    /* A long message carries a CRC-32. */
    uint8_t frame[40] = {KIT_MSG_ENCODE_FRAME, 1, 2, 3};
    length = on_the_line(line, frame, sizeof frame);
    CHECK(length == 1 + sizeof frame + KIT_CRC32_BYTES + 1);
    CHECK(feed(line, length) == sizeof frame && memcmp(rx, frame, sizeof frame) == 0);
    CHECK(link.counters.rx_frames == 3);

    /* Delimiters on their own mean nothing. */
    const uint8_t zeros[5] = {0, 0, 0, 0, 0};
    CHECK(feed(zeros, sizeof zeros) == 0);
    CHECK(link.counters.rx_bad_length == 0 && link.counters.rx_bad_crc == 0 && link.counters.rx_overrun == 0);
}

static void test_damage(void)
{
    const uint8_t message[] = {KIT_MSG_STREAM_START, 7, 1, 20, 0, 0, 0};
    uint8_t line[2 * BYTES_MAX];
    const size_t length = on_the_line(line, message, sizeof message);

    /* Every single flipped bit is noticed, and the next message is received whatever happened before. */
    for (size_t bit = 0; bit < 8 * length; bit++) {
        begin();
        line[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        CHECK(feed(line, length) == 0);
        line[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        const uint8_t delimiter = 0;
        (void)feed(&delimiter, 1);
        const kit_link_counters_t *c = &link.counters;
        CHECK(c->rx_frames == 0 && c->rx_bad_crc + c->rx_bad_length + c->rx_overrun >= 1);
        CHECK(feed(line, length) == sizeof message);
        CHECK(c->rx_frames == 1);
    }

    /* Cut off anywhere. */
    for (size_t cut = 1; cut + 1 < length; cut++) {
        begin();
        const uint8_t delimiter = 0;
        CHECK(feed(line, cut) == 0 && feed(&delimiter, 1) == 0);
        CHECK(link.counters.rx_bad_crc + link.counters.rx_bad_length == 1);
        CHECK(feed(line, length) == sizeof message);
    }
}

static void test_sizes(void)
{
    uint8_t message[BYTES_MAX];
    uint8_t line[2 * BYTES_MAX];
    memset(message, KIT_MSG_SELF_TEST, sizeof message);
    for (size_t bytes = 1; bytes <= 300; bytes++) {
        begin();
        const size_t length = on_the_line(line, message, bytes);
        if (bytes + KIT_CRC16_BYTES <= RX_BYTES) {
            CHECK(feed(line, length) == bytes);
        } else {
            CHECK(feed(line, length) == 0 && link.counters.rx_overrun == 1);
            CHECK(feed(line, on_the_line(line, message, 2)) == 2);
        }
    }
    /* A check value and nothing else, or less than that. */
    for (uint8_t code = 2; code <= 3; code++) {
        begin();
        const uint8_t tiny[4] = {code, 0x55, 0x55, 0};
        CHECK(feed(tiny, (size_t)code) == 0);
        const uint8_t delimiter = 0;
        CHECK(feed(&delimiter, 1) == 0 && link.counters.rx_bad_length == 1);
    }
}

static void test_garbage(void)
{
    unsigned state = 7;
    begin();
    for (unsigned i = 0; i < 400000; i++) {
        uint8_t byte = random_byte(&state);
        byte = byte < 24 ? 0 : (uint8_t)(byte % 23u);
        const size_t length = kit_link_receive(&link, byte);
        CHECK(length < sizeof rx);
    }
    const kit_link_counters_t *c = &link.counters;
    CHECK(c->rx_bad_crc > 100 && c->rx_bad_length > 100);
    const uint8_t message[] = {KIT_MSG_COUNTERS_REQUEST, 3};
    uint8_t line[32] = {0};
    const size_t length = on_the_line(line + 1, message, sizeof message);
    CHECK(feed(line, length + 1) == sizeof message);
}

static void test_send(void)
{
    begin();
    CHECK(kit_link_tx_idle(&link));
    CHECK(!kit_link_send(&link, 0));
    CHECK(!kit_link_send(&link, RX_BYTES - KIT_CRC16_BYTES + 2));
    memset(kit_link_message(&link), 0xA5, RX_BYTES - KIT_CRC16_BYTES);
    CHECK(kit_link_send(&link, RX_BYTES - KIT_CRC16_BYTES));
    CHECK(!kit_link_tx_idle(&link) && !kit_link_send(&link, 4));

    /* Taken in pieces of any size, the line sees one message. */
    uint8_t line[TX_BYTES];
    size_t sent = 0;
    for (size_t piece = 1; !kit_link_tx_idle(&link); piece = piece % 7 + 1) {
        size_t bytes;
        const uint8_t *pending = kit_link_pending(&link, &bytes);
        if (bytes > piece) {
            bytes = piece;
        }
        memcpy(line + sent, pending, bytes);
        sent += bytes;
        kit_link_taken(&link, bytes);
    }
    CHECK(sent == RX_BYTES + 2 && line[sent - 1] == 0 && memchr(line, 0, sent - 1) == NULL);
    CHECK(feed(line, sent) == RX_BYTES - KIT_CRC16_BYTES);
}

static void test_fields(void)
{
    uint8_t bytes[4];
    kit_put_u32(bytes, 0x89ABCDEFu);
    CHECK(bytes[0] == 0xEF && bytes[1] == 0xCD && bytes[2] == 0xAB && bytes[3] == 0x89);
    CHECK(kit_get_u32(bytes) == 0x89ABCDEFu && kit_get_u16(bytes + 2) == 0x89ABu);
    kit_put_u16(bytes, 0xFF00u);
    CHECK(kit_get_u16(bytes) == 0xFF00u);
}

int main(void)
{
    test_crc();
    test_cobs_known();
    test_cobs_round_trip();
    test_receive();
    test_damage();
    test_sizes();
    test_garbage();
    test_send();
    test_fields();
    puts("link: all checks hold");
    return 0;
}

/* libFuzzer target: whatever the line brings, the application stays within its memory and keeps answering.
 *
 * First byte: bits 0 to 6 choose how many bytes a write takes; bit 7 clear: the rest is what the line brings; set: the
 * rest is messages, each behind a byte with its length, which are given check value and framing, so that what lies behind
 * the link is reached. */
#include <string.h>

#include "fake_port.h"
#include "kit_app.h"

#define POLLS_MAX 400u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kit_app_t app;
static kit_link_t host;
static uint8_t host_rx[KIT_APP_TX_TOTAL];
static uint8_t host_tx[KIT_LINK_TX_BYTES(255u + KIT_CRC32_BYTES)];

static void require(int holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static void poll(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        (void)kit_app_poll(&app);
        fake_port.time_us += 4999u;
        if (fake_port.from_device_bytes > FAKE_LINE_BYTES / 2u) {
            fake_port.from_device_bytes = 0;
        }
    }
}

static void reset_port(void)
{
    /* Not its buffers, which are large and hold nothing that counts. */
    fake_port.to_device_bytes = 0;
    fake_port.to_device_read = 0;
    fake_port.from_device_bytes = 0;
    fake_port.time_us = 0;
    fake_port.overruns = 0;
}

static void post(const uint8_t *message, size_t bytes)
{
    memcpy(kit_link_message(&host), message, bytes);
    require(kit_link_send(&host, bytes));
    size_t count;
    const uint8_t *line = kit_link_pending(&host, &count);
    require(fake_port.to_device_bytes + count <= FAKE_LINE_BYTES);
    memcpy(fake_port.to_device + fake_port.to_device_bytes, line, count);
    fake_port.to_device_bytes += count;
    kit_link_taken(&host, count);
}

/* On a fast line, until the application has handled every byte and sent what it had to say. A frame in the receive buffer
 * has the codec first, and a frame before it perhaps as well. */
static void finish_reading(void)
{
    fake_port.write_max = FAKE_LINE_BYTES;
    for (unsigned i = 0; i < POLLS_MAX; i++) {
        if (!app.held && fake_port.to_device_bytes == 0 && app.chunk_at == app.chunk_bytes) {
            break;
        }
        poll(1);
    }
    poll(8);
}

/* After anything at all, a hello is answered by exactly one valid hello among the other messages. */
static void hello(void)
{
    const uint8_t request[] = {KIT_MSG_HELLO_REQUEST, 77, KIT_PROTOCOL_VERSION};
    /* What was asked before may be a hello of this very number: it ends here, and its answer goes first. */
    fake_port.to_device[0] = 0;
    fake_port.to_device_bytes = 1;
    fake_port.to_device_read = 0;
    finish_reading();
    fake_port.from_device_bytes = 0;
    fake_port.to_device[0] = 0;
    fake_port.to_device_bytes = 1;
    fake_port.to_device_read = 0;
    post(request, sizeof request);
    finish_reading();
    unsigned hellos = 0;
    for (size_t i = 0; i < fake_port.from_device_bytes; i++) {
        const size_t length = kit_link_receive(&host, fake_port.from_device[i]);
        hellos += length != 0 && host_rx[0] == KIT_MSG_HELLO && host_rx[KIT_HELLO_REQUEST_AT] == 77;
    }
    require(hellos == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FAKE_LINE_BYTES / 4u) {
        return 0;
    }
    reset_port();
    fake_port.write_max = 1u + (data[0] & 0x7Fu);
    kit_link_init(&host, host_rx, sizeof host_rx, host_tx, sizeof host_tx, 255u + KIT_CRC32_BYTES);
    require(kit_app_init(&app) == KIT_OK);
    if ((data[0] & 0x80u) == 0) {
        memcpy(fake_port.to_device, data + 1, size - 1);
        fake_port.to_device_bytes = size - 1;
    } else {
        for (size_t at = 1; at < size && data[at] != 0 && data[at] < size - at; at += 1u + data[at]) {
            post(data + at + 1, data[at]);
        }
    }
    /* Until everything is read and what it asked for is under way. */
    for (unsigned i = 0; i < POLLS_MAX && fake_port.to_device_bytes != 0; i++) {
        poll(1);
    }
    poll(16);
    hello();
    return 0;
}

/* libFuzzer target: whatever the line brings, the application stays within its memory and keeps answering.
 *
 * The first byte chooses how many bytes a write takes; the others come in over the line. */
#include <string.h>

#include "fake_port.h"
#include "kit_app.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static kit_app_t app;
static kit_link_t host;
static uint8_t host_rx[KIT_APP_TX_TOTAL];
static uint8_t host_tx[KIT_LINK_TX_BYTES(KIT_HOST_FIXED_BYTES_MAX + KIT_CRC32_BYTES)];

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
        fake_port.time_us += 997u;
        if (fake_port.from_device_bytes > FAKE_LINE_BYTES / 2u) {
            fake_port.from_device_bytes = 0;
        }
    }
}

/* After anything at all, a hello is answered by exactly one valid hello among the other messages. */
static void hello(void)
{
    kit_link_init(&host, host_rx, sizeof host_rx, host_tx, sizeof host_tx);
    uint8_t *m = kit_link_message(&host);
    m[0] = KIT_MSG_HELLO_REQUEST;
    m[KIT_HELLO_REQUEST_REQUEST_AT] = 77;
    m[KIT_HELLO_REQUEST_PROTOCOL_AT] = KIT_PROTOCOL_VERSION;
    require(kit_link_send(&host, KIT_MSG_HELLO_REQUEST_BYTES));
    size_t bytes;
    const uint8_t *line = kit_link_pending(&host, &bytes);
    fake_port.to_device[0] = 0;
    memcpy(fake_port.to_device + 1, line, bytes);
    fake_port.to_device_bytes = bytes + 1;
    fake_port.to_device_read = 0;
    fake_port.write_max = FAKE_LINE_BYTES;
    poll(8);
    unsigned hellos = 0;
    for (size_t i = 0; i < fake_port.from_device_bytes; i++) {
        const size_t length = kit_link_receive(&host, fake_port.from_device[i]);
        hellos += length != 0 && host_rx[0] == KIT_MSG_HELLO && host_rx[KIT_HELLO_REQUEST_AT] == 77;
    }
    require(hellos == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FAKE_LINE_BYTES) {
        return 0;
    }
    memset(&fake_port, 0, sizeof fake_port);
    fake_port.write_max = 1u + data[0];
    require(kit_app_init(&app) == KIT_OK);
    memcpy(fake_port.to_device, data + 1, size - 1);
    fake_port.to_device_bytes = size - 1;
    /* Until everything is read and what it asked for is under way. */
    for (unsigned i = 0; i < 10000 && fake_port.to_device_bytes != 0; i++) {
        poll(1);
    }
    poll(64);
    fake_port.from_device_bytes = 0;
    hello();
    return 0;
}

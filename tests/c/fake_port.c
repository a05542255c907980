#include "fake_port.h"

#include <string.h>

#include "kit_port.h"

fake_port_t fake_port;

void kit_port_init(void)
{
}

size_t kit_port_read(uint8_t *data, size_t bytes)
{
    const size_t there = fake_port.to_device_bytes - fake_port.to_device_read;
    const size_t count = there < bytes ? there : bytes;
    memcpy(data, fake_port.to_device + fake_port.to_device_read, count);
    fake_port.to_device_read += count;
    if (fake_port.to_device_read == fake_port.to_device_bytes) {
        fake_port.to_device_read = 0;
        fake_port.to_device_bytes = 0;
    }
    return count;
}

size_t kit_port_write(const uint8_t *data, size_t bytes)
{
    size_t count = FAKE_LINE_BYTES - fake_port.from_device_bytes;
    count = count < bytes ? count : bytes;
    count = count < fake_port.write_max ? count : fake_port.write_max;
    memcpy(fake_port.from_device + fake_port.from_device_bytes, data, count);
    fake_port.from_device_bytes += count;
    return count;
}

uint32_t kit_port_rx_overruns(void)
{
    return fake_port.overruns;
}

kit_port_rx_queue_t kit_port_rx_queue(void)
{
    const kit_port_rx_queue_t queue = {70000u, FAKE_LINE_BYTES};
    return queue;
}

uint32_t kit_port_time_us(void)
{
    return fake_port.time_us;
}

const char *kit_port_name(void)
{
    return "a-port-with-a-name-that-is-too-long";
}

void kit_port_idle(void)
{
}

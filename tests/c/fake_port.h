/* A port made of memory: the test is the other end of the line and the clock. */
#ifndef FAKE_PORT_H
#define FAKE_PORT_H

#include <stddef.h>
#include <stdint.h>

#define FAKE_LINE_BYTES 65536u

typedef struct {
    uint8_t to_device[FAKE_LINE_BYTES];
    size_t to_device_bytes;
    size_t to_device_read;
    uint8_t from_device[FAKE_LINE_BYTES];
    size_t from_device_bytes;
    size_t write_max; /* bytes one write takes: the speed of the line */
    uint32_t time_us;
    uint32_t overruns;
} fake_port_t;

extern fake_port_t fake_port;

#endif /* FAKE_PORT_H */

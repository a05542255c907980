/* The seam between the application and a board. A port is one folder of firmware/ports/ that implements these
 * functions; it knows nothing of the codec or the protocol. None of them blocks. */
#ifndef KIT_PORT_H
#define KIT_PORT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bring up clock and serial line. Called once, before anything else here. */
void kit_port_init(void);

/* Move up to `bytes` received bytes into `data`; returns how many there were. */
size_t kit_port_read(uint8_t *data, size_t bytes);

/* Hand up to `bytes` bytes to the line; returns how many it took. */
size_t kit_port_write(const uint8_t *data, size_t bytes);

/* Times that received bytes were lost because nobody fetched them soon enough. */
uint32_t kit_port_rx_overruns(void);

/* Microseconds since an arbitrary moment, modulo 2^32. */
uint32_t kit_port_time_us(void);

/* Name of the target in the hello; at most 16 characters. */
const char *kit_port_name(void);

/* Nothing to do: sleep until a byte arrives or at most about a millisecond passes. May return at once. */
void kit_port_idle(void);

#ifdef __cplusplus
}
#endif

#endif /* KIT_PORT_H */

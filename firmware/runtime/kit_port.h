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

/* What waited in the receive ring at most since boot, and what it holds. */
typedef struct {
    uint32_t bytes_max;
    uint32_t bytes_room;
} kit_port_rx_queue_t;

/* Optional: ports/common/port_defaults.c says 0 and 0 for a port that does not know. */
kit_port_rx_queue_t kit_port_rx_queue(void);

/* Optional: feed the board's watchdog; nothing where a port has none. The main loop calls it once per turn, and a turn
 * is never longer than one engine step, the handling of what arrived during it, and kit_port_idle. A watchdog may
 * therefore bite after a few of the longest steps (COUNTERS.pass_us_max shows the longest turn so far). */
void kit_port_watchdog(void);

/* Microseconds since an arbitrary moment, modulo 2^32. For the main loop only: a port may keep state for it. */
uint32_t kit_port_time_us(void);

/* Name of the target in the hello; at most 16 characters. */
const char *kit_port_name(void);

/* Nothing to do: sleep until a byte arrives or at most about a millisecond passes. May return at once. */
void kit_port_idle(void);

#ifdef __cplusplus
}
#endif

#endif /* KIT_PORT_H */

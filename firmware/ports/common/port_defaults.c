/* What a port may leave out. Weak: a port that defines one of these replaces it. */
#include "kit_port.h"

__attribute__((weak)) kit_port_rx_queue_t kit_port_rx_queue(void)
{
    const kit_port_rx_queue_t unknown = {0, 0};
    return unknown;
}

__attribute__((weak)) void kit_port_watchdog(void)
{
}

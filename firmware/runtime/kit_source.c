/* What a source may leave out. Weak: a source that defines one of these replaces it. */
#include "kit_source.h"

#include "kit_port.h"

__attribute__((weak)) void kit_source_end(void)
{
}

__attribute__((weak)) uint32_t kit_source_dropped(void)
{
    return 0;
}

__attribute__((weak)) uint32_t kit_source_time_us(void)
{
    return kit_port_time_us();
}

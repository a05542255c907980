/* A serial line for the SDK doubles: standard input and output of this process. POSIX. */
#ifndef STDIO_LINE_H
#define STDIO_LINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int stdio_line_waits(int timeout_ms);                        /* received bytes wait; the process ends with its line */
size_t stdio_line_read(uint8_t *data, size_t bytes);         /* at most what waits */
size_t stdio_line_write(const uint8_t *data, size_t bytes);  /* at most what fits */
uint64_t stdio_line_us(void);                                /* microseconds since some moment */

#ifdef __cplusplus
}
#endif

#endif /* STDIO_LINE_H */

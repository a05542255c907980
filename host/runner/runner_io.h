/* The seam between the runner and where its files are: stdio on the host, semihosting on a board. One input and one
 * output are open at a time. */
#ifndef KIT_RUNNER_IO_H
#define KIT_RUNNER_IO_H

#include <stdbool.h>
#include <stddef.h>

bool kit_io_open_input(const char *path);
bool kit_io_open_output(const char *path);

/* Bytes read; fewer than asked for only at the end of the file or on an error. */
size_t kit_io_read(void *data, size_t bytes);

/* True when all bytes were written. */
bool kit_io_write(const void *data, size_t bytes);

/* Close both; false when what was written may not have reached the file. */
bool kit_io_close(void);

/* Text for whoever started the runner. */
void kit_io_print(const char *text);

#endif /* KIT_RUNNER_IO_H */

#define _POSIX_C_SOURCE 200809L
#include "stdio_line.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#define PIPE_BYTES 512u

static int ready(int descriptor, short events, int timeout_ms)
{
    struct pollfd wanted = {.fd = descriptor, .events = events, .revents = 0};
    return poll(&wanted, 1, timeout_ms) > 0;
}

int stdio_line_waits(int timeout_ms)
{
    return ready(STDIN_FILENO, POLLIN, timeout_ms);
}

size_t stdio_line_read(uint8_t *data, size_t bytes)
{
    if (bytes == 0 || !stdio_line_waits(0)) {
        return 0;
    }
    const ssize_t count = read(STDIN_FILENO, data, bytes);
    if (count <= 0) {
        _exit(0);
    }
    return (size_t)count;
}

size_t stdio_line_write(const uint8_t *data, size_t bytes)
{
    if (bytes == 0 || !ready(STDOUT_FILENO, POLLOUT, 0)) {
        return 0;
    }
    const ssize_t count = write(STDOUT_FILENO, data, bytes < PIPE_BYTES ? bytes : PIPE_BYTES);
    if (count < 0) {
        _exit(0);
    }
    return (size_t)count;
}

uint64_t stdio_line_us(void)
{
    struct timespec now = {0, 0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

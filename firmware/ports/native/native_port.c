/* Port of the host process: standard input and output are the serial line. Ends with exit code 0 when the other side
 * closes its end and nothing is left to do. POSIX. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "board.h"
#include "kit_port.h"

#define WRITE_BYTES_MAX 512u /* _POSIX_PIPE_BUF: a pipe that polls as writable takes this much without blocking */

static bool input_ended;

static bool ready(int descriptor, short events, int timeout_ms)
{
    struct pollfd wanted = {.fd = descriptor, .events = events, .revents = 0};
    return poll(&wanted, 1, timeout_ms) > 0;
}

static void fail(const char *doing)
{
    perror(doing);
    exit(1);
}

void kit_port_init(void)
{
    /* A reader that left shows up as an error of write(), where it is a normal end. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
        fail("signal");
    }
}

size_t kit_port_read(uint8_t *data, size_t bytes)
{
    if (input_ended || !ready(STDIN_FILENO, POLLIN, 0)) {
        return 0;
    }
    const ssize_t count = read(STDIN_FILENO, data, bytes);
    /* EIO: the other side of a pseudo-terminal is gone. */
    if (count == 0 || (count < 0 && errno == EIO)) {
        input_ended = true;
        return 0;
    }
    if (count < 0 && errno != EINTR && errno != EAGAIN) {
        fail("standard input");
    }
    return count > 0 ? (size_t)count : 0;
}

size_t kit_port_write(const uint8_t *data, size_t bytes)
{
    if (bytes == 0 || !ready(STDOUT_FILENO, POLLOUT, 0)) {
        return 0;
    }
    const ssize_t count = write(STDOUT_FILENO, data, bytes < WRITE_BYTES_MAX ? bytes : WRITE_BYTES_MAX);
    if (count < 0 && (errno == EPIPE || errno == EIO)) {
        exit(0);
    }
    if (count < 0 && errno != EINTR && errno != EAGAIN) {
        fail("standard output");
    }
    return count > 0 ? (size_t)count : 0;
}

uint32_t kit_port_rx_overruns(void)
{
    return 0;
}

uint32_t kit_port_time_us(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        fail("clock_gettime");
    }
    return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

const char *kit_port_name(void)
{
    return KIT_BOARD_NAME;
}

void kit_port_idle(void)
{
    if (input_ended) {
        exit(0);
    }
    (void)ready(STDIN_FILENO, POLLIN, 1);
}

/* The runner as a board image: files, command line and exit code come from the debugger or emulator through
 * semihosting (Arm "Semihosting for AArch32 and AArch64", operation numbers below; RISC-V has taken them over). The
 * command line is "name IN OUT"; file names contain no spaces. */
#include <stdint.h>

#include "core.h"
#include "runner.h"
#include "runner_io.h"

#define SYS_OPEN 0x01u
#define SYS_CLOSE 0x02u
#define SYS_WRITE0 0x04u
#define SYS_WRITE 0x05u
#define SYS_READ 0x06u
#define SYS_GET_CMDLINE 0x15u
#define SYS_EXIT_EXTENDED 0x20u

#define OPEN_RB 1u
#define OPEN_WB 5u
#define STOPPED_APPLICATION_EXIT 0x20026u
#define EXIT_USAGE 2
#define EXIT_FAULT 99

#define COMMAND_BYTES 256u

static uint32_t input = UINT32_MAX;
static uint32_t output = UINT32_MAX;
static char command[COMMAND_BYTES];

/* An address as semihosting passes it: a word. */
static uint32_t word(const void *address)
{
    return (uint32_t)(uintptr_t)address;
}

static uint32_t open_file(const char *path, uint32_t mode)
{
    uint32_t bytes = 0;
    while (path[bytes] != '\0') {
        bytes++;
    }
    const uint32_t block[3] = {word(path), mode, bytes};
    return kit_core_semihosting(SYS_OPEN, block);
}

bool kit_io_open_input(const char *path)
{
    input = open_file(path, OPEN_RB);
    return input != UINT32_MAX;
}

bool kit_io_open_output(const char *path)
{
    output = open_file(path, OPEN_WB);
    return output != UINT32_MAX;
}

size_t kit_io_read(void *data, size_t bytes)
{
    const uint32_t block[3] = {input, word(data), bytes};
    const uint32_t missing = kit_core_semihosting(SYS_READ, block);
    return missing <= bytes ? bytes - missing : 0;
}

bool kit_io_write(const void *data, size_t bytes)
{
    const uint32_t block[3] = {output, word(data), bytes};
    return kit_core_semihosting(SYS_WRITE, block) == 0;
}

bool kit_io_close(void)
{
    const bool read_ok = kit_core_semihosting(SYS_CLOSE, &input) == 0;
    return kit_core_semihosting(SYS_CLOSE, &output) == 0 && read_ok;
}

void kit_io_print(const char *text)
{
    (void)kit_core_semihosting(SYS_WRITE0, text);
}

void kit_exit(int code)
{
    const uint32_t block[2] = {STOPPED_APPLICATION_EXIT, (uint32_t)code};
    (void)kit_core_semihosting(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

void kit_fault(void)
{
    kit_io_print("kit_runner: fault: the core took an exception\n");
    kit_exit(EXIT_FAULT);
}

/* Cut the next word off the command line; an empty one when none is left. */
static char *next_word(char **rest)
{
    char *at = *rest;
    while (*at == ' ') {
        at++;
    }
    char *start = at;
    while (*at != '\0' && *at != ' ') {
        at++;
    }
    if (*at == ' ') {
        *at++ = '\0';
    }
    *rest = at;
    return start;
}

int main(void)
{
    uint32_t block[2] = {word(command), COMMAND_BYTES};
    char *rest = command;
    if (kit_core_semihosting(SYS_GET_CMDLINE, block) != 0) {
        command[0] = '\0';
    }
    (void)next_word(&rest);
    char *in = next_word(&rest);
    char *out = next_word(&rest);
    if (*out == '\0' || *next_word(&rest) != '\0') {
        kit_io_print("usage: kit_runner IN OUT (semihosting command line)\n");
        return EXIT_USAGE;
    }
    return kit_runner_run(in, out);
}

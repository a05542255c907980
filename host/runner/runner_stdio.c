/* The runner as a host program: kit_runner IN OUT. */
#include <stdio.h>

#include "runner.h"
#include "runner_io.h"

static FILE *input;
static FILE *output;

bool kit_io_open_input(const char *path)
{
    input = fopen(path, "rb");
    return input != NULL;
}

bool kit_io_open_output(const char *path)
{
    output = fopen(path, "wb");
    return output != NULL;
}

size_t kit_io_read(void *data, size_t bytes)
{
    return fread(data, 1, bytes, input);
}

bool kit_io_write(const void *data, size_t bytes)
{
    return fwrite(data, 1, bytes, output) == bytes;
}

bool kit_io_close(void)
{
    const bool read_ok = fclose(input) == 0;
    return fclose(output) == 0 && read_ok;
}

void kit_io_print(const char *text)
{
    fputs(text, stderr);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        kit_io_print("usage: kit_runner IN OUT\n");
        return 2;
    }
    return kit_runner_run(argv[1], argv[2]);
}

/* Range codes of frames from standard input: `coding_main P M B capacity` reads uint16 indices [P][M] a frame and writes
 * for each frame its length, uint16, and `capacity` bytes, of which those behind the code are 0xEE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coding.h"

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        return 2;
    }
    const unsigned positions = number(argv[1]);
    const unsigned levels = number(argv[2]);
    const unsigned bits = number(argv[3]);
    const uint16_t capacity = (uint16_t)number(argv[4]);
    uint8_t *code = malloc(capacity); /* exactly as long, so that the sanitizer sees a byte too much */
    uint16_t index;
    if (code == NULL) {
        return 1;
    }
    for (;;) {
        kit_coder_t coder;
        memset(code, 0xEE, capacity);
        kit_coder_begin(&coder, ppg_coding, code, capacity);
        for (unsigned i = 0; i < positions * levels; i++) {
            if (fread(&index, sizeof index, 1, stdin) != 1) {
                free(code);
                return i == 0 && feof(stdin) ? 0 : 1;
            }
            kit_coder_put(&coder, ppg_coding, (uint8_t)(i % levels), index, bits);
        }
        const uint16_t length = kit_coder_end(&coder);
        for (unsigned i = length; i < capacity; i++) {
            code[i] = 0xEE;
        }
        if (fwrite(&length, sizeof length, 1, stdout) != 1 || fwrite(code, 1, capacity, stdout) != capacity) {
            return 1;
        }
    }
}

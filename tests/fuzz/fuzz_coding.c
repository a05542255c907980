/* libFuzzer target: the range coder and a decoder of it, with the tables of random models: `ppg` has classes on its first level,
 * `net` a network, which bit 1 of the first byte asks for.
 *
 * First byte even: the rest is a code; whatever it decodes to must be indices, and these must survive a round trip; a
 * code that the decoder accepts and that is as long as the coder's own is the coder's own. Odd: the rest are indices, a
 * byte each, which must survive one. */
#include <string.h>

#include "coding.h"
#include "coding_decode.h"
#include "coding_network.h"

#define LEVELS (sizeof ppg_coding / sizeof ppg_coding[0])
#define INDEX_BITS 6u
#define POSITIONS 14u
#define COUNT (POSITIONS * LEVELS)
#define CODE_BYTES ((COUNT * INDEX_BITS + 7u) / 8u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static uint16_t encode(const kit_coding_level_t *levels, const uint16_t *indices, uint8_t *code)
{
    kit_coder_t coder;
    kit_coder_begin(&coder, levels, code, CODE_BYTES);
    for (size_t i = 0; i < COUNT; i++) {
        kit_coder_put(&coder, levels, (uint8_t)(i % LEVELS), indices[i], INDEX_BITS);
    }
    return kit_coder_end(&coder);
}

/* What is coded shorter than packed comes back. */
static uint16_t round_trip(const kit_coding_level_t *levels, const uint16_t *indices, uint8_t *code)
{
    uint16_t again[COUNT];
    const uint16_t bytes = encode(levels, indices, code);
    require(bytes <= CODE_BYTES);
    if (bytes < CODE_BYTES) {
        require(coding_decode(code, bytes, levels, LEVELS, INDEX_BITS, again, COUNT));
        require(memcmp(indices, again, sizeof again) == 0);
        require(bytes == 0 || code[bytes - 1u] != 0);
    }
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint16_t indices[COUNT] = {0};
    uint8_t code[CODE_BYTES];
    if (size == 0) {
        return 0;
    }
    const kit_coding_level_t *levels = (data[0] & 2u) != 0 ? net_coding : ppg_coding;
    if (data[0] % 2u != 0) {
        for (size_t i = 0; i < COUNT && i + 1u < size; i++) {
            indices[i] = data[i + 1u] % (1u << INDEX_BITS);
        }
        (void)round_trip(levels, indices, code);
        return 0;
    }
    const bool good = coding_decode(data + 1, size - 1u, levels, LEVELS, INDEX_BITS, indices, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        require(indices[i] < 1u << INDEX_BITS);
    }
    const uint16_t bytes = round_trip(levels, indices, code);
    if (good && bytes < CODE_BYTES && bytes == size - 1u && data[size - 1u] != 0) {
        /* Both lie in the same interval, and no shorter code does. */
        require(memcmp(data + 1, code, bytes > 1u ? bytes - 1u : 0u) == 0);
    }
    return 0;
}

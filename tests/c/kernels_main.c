/* Test program for kernels: every rendered case (tests/kernel_cases.py) must give its columns and touch nothing behind
 * them. The exit code is the number of wrong cases, at most 100; the first one is named where there is a terminal. */
#include "kit_aot_kernels.h"

typedef struct {
    kit_aot_layer_t layer;
    const int8_t *window;
    const int8_t *expected;
    unsigned count;
} kernel_case_t;

#include "cases.h"

#define GUARD 0x55
#define GUARD_BYTES 64u

static int8_t columns[OUTPUT_BYTES + GUARD_BYTES];

static int case_is_right(const kernel_case_t *test)
{
    const kit_aot_layer_t *layer = &test->layer;
    const unsigned bytes = test->count * layer->out_channels;
    for (unsigned i = 0; i < sizeof columns; i++) {
        columns[i] = GUARD;
    }
    if (layer->depthwise) {
        kit_aot_depthwise(layer, test->window, columns, test->count);
    } else {
        kit_aot_conv(layer, test->window, columns, test->count);
    }
    for (unsigned i = 0; i < bytes; i++) {
        if (columns[i] != test->expected[i]) {
            return 0;
        }
    }
    for (unsigned i = bytes; i < sizeof columns; i++) {
        if (columns[i] != GUARD) {
            return 0;
        }
    }
    return 1;
}

/* Number of wrong cases; `first` receives the first of them. */
static unsigned wrong_cases(unsigned *first)
{
    unsigned wrong = 0;
    for (unsigned i = CASES; i-- != 0;) {
        if (!case_is_right(&cases[i])) {
            wrong++;
            *first = i;
        }
    }
    return wrong < 100u ? wrong : 100u;
}

#if !defined(__arm__)
#include <stdio.h>
#endif

int main(void)
{
    unsigned first = 0;
    const unsigned wrong = wrong_cases(&first);
#if !defined(__arm__)
    if (wrong != 0) {
        const kit_aot_layer_t *layer = &cases[first].layer;
        fprintf(stderr, "%u cases wrong, first %u: kernel %u, stride %u, %u -> %u channels, depthwise %u, %u columns\n",
                wrong, first, layer->kernel, layer->stride, layer->in_channels, layer->out_channels, layer->depthwise,
                cases[first].count);
    }
#endif
    return (int)wrong;
}

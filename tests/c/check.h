/* Checks of the C tests: the first one that fails is named and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)

static inline void check(int holds, const char *text, const char *file, int line)
{
    if (!holds) {
        fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
        exit(1);
    }
}

/* Small repeatable generator of test bytes (xorshift32); `state` must not be 0. */
static inline unsigned char random_byte(unsigned *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (unsigned char)(*state >> 24);
}

#endif /* CHECK_H */

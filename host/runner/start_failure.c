#include "start_failure.h"

#include <stddef.h>

#define TEXT_BYTES 160u
#define DIGITS 10u

static char text[TEXT_BYTES];

static size_t put(size_t at, const char *part)
{
    while (*part != '\0' && at + 1u < TEXT_BYTES) {
        text[at++] = *part++;
    }
    text[at] = '\0';
    return at;
}

static size_t put_number(size_t at, uint32_t number)
{
    char digits[DIGITS + 1u];
    char *first = digits + DIGITS;
    *first = '\0';
    do {
        *--first = (char)('0' + (char)(number % 10u));
        number /= 10u;
    } while (number != 0);
    return put(at, first);
}

static const char *sentence(kit_status_t status)
{
    switch ((int)status) {
#define START_CASE(name, value, words) \
    case (value):                      \
        return words;
        KIT_STATUS_LIST(START_CASE)
#undef START_CASE
    default:
        return "unknown status";
    }
}

const char *kit_start_failure(kit_status_t status, kit_engine_failure_t numbers)
{
    size_t at = put(0, sentence(status));
    if (status == KIT_ERR_ARENA) {
        at = put_number(put(at, ": needs "), numbers.expected);
        (void)put(put_number(put(at, " bytes, has "), numbers.found), " bytes");
    } else if (numbers.expected != 0 || numbers.found != 0) {
        at = put_number(put(at, ": expected "), numbers.expected);
        (void)put_number(put(at, ", found "), numbers.found);
    }
    return text;
}

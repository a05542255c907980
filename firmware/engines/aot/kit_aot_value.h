/* Values of a column, which are int8 or, where a kernel saves more by it than it costs, int16. */
#ifndef KIT_AOT_VALUE_H
#define KIT_AOT_VALUE_H

#include <stdint.h>
#include <string.h>

#include "kit_isa.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Only DSP kernels have windows of int16. */
#if defined(KIT_ISA_DSP)
#define KIT_AOT_IS_WIDE(wide) ((wide) != 0)
#else
#define KIT_AOT_IS_WIDE(wide) ((void)(wide), 0)
#endif

/* Value number `at` of a column. Columns of int16 are memory of int8, hence the copy, which is a single load. */
static inline int32_t kit_aot_get(const int8_t *column, unsigned at, unsigned wide)
{
    if (KIT_AOT_IS_WIDE(wide)) {
        int16_t value;
        memcpy(&value, column + 2u * at, sizeof value);
        return value;
    }
    return column[at];
}

static inline void kit_aot_set(int8_t *column, unsigned at, unsigned wide, int32_t value)
{
    if (KIT_AOT_IS_WIDE(wide)) {
        const int16_t half = (int16_t)value;
        memcpy(column + 2u * at, &half, sizeof half);
    } else {
        column[at] = (int8_t)value;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* KIT_AOT_VALUE_H */

/* Why a codec does not start, as a sentence. */
#ifndef START_FAILURE_H
#define START_FAILURE_H

#include "kit_engine.h"

/* Text of a status with the engine's numbers behind it; valid until the next call. */
const char *kit_start_failure(kit_status_t status, kit_engine_failure_t numbers);

#endif /* START_FAILURE_H */

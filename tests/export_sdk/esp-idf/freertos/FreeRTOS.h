/* API double of ESP-IDF: what the exported example calls. See ../../README.md. */
#ifndef FREERTOS_H
#define FREERTOS_H

#include <stdint.h>

typedef uint32_t TickType_t;

#endif /* FREERTOS_H */

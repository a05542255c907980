/* API double of ESP-IDF: what the exported example calls. See ../../README.md. */
#ifndef TASK_H
#define TASK_H

#include "freertos/FreeRTOS.h"

void vTaskDelay(TickType_t ticks);

#endif /* TASK_H */

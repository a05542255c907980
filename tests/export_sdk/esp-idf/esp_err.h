/* API double of ESP-IDF: what the exported example calls. See ../README.md. */
#ifndef ESP_ERR_H
#define ESP_ERR_H

#include <stdlib.h>

typedef int esp_err_t;
#define ESP_OK 0
#define ESP_ERROR_CHECK(call)    \
    do {                         \
        if ((call) != ESP_OK) {  \
            abort();             \
        }                        \
    } while (0)

#endif /* ESP_ERR_H */

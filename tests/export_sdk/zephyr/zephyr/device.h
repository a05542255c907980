/* API double of Zephyr: what the exported sample calls. See ../../README.md. */
#ifndef ZEPHYR_DEVICE_H
#define ZEPHYR_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct device {
    const char *name;
};

extern const struct device sdk_double_console;

#define DT_CHOSEN(property) sdk_double_##property
#define DEVICE_DT_GET(node) SDK_DOUBLE_GET(node)
#define SDK_DOUBLE_GET(node) SDK_DOUBLE_DEVICE_##node
#define SDK_DOUBLE_DEVICE_sdk_double_zephyr_console (&sdk_double_console)

bool device_is_ready(const struct device *device);

#endif /* ZEPHYR_DEVICE_H */

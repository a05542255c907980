/* API double of ESP-IDF: what the exported example calls. See ../../README.md. */
#ifndef DRIVER_USB_SERIAL_JTAG_H
#define DRIVER_USB_SERIAL_JTAG_H

#include <stddef.h>

#include "esp_err.h"
#include "freertos/FreeRTOS.h"

typedef struct {
    uint32_t tx_buffer_size;
    uint32_t rx_buffer_size;
} usb_serial_jtag_driver_config_t;

esp_err_t usb_serial_jtag_driver_install(usb_serial_jtag_driver_config_t *config);
int usb_serial_jtag_read_bytes(void *data, uint32_t bytes, TickType_t ticks);
int usb_serial_jtag_write_bytes(const void *data, size_t bytes, TickType_t ticks);

#endif /* DRIVER_USB_SERIAL_JTAG_H */

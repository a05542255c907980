#include "driver/uart.h"
#include "driver/usb_serial_jtag.h"
#include "esp_timer.h"
#include "freertos/task.h"
#include "stdio_line.h"

#define ROOM_BYTES 100u /* of a transmit buffer that is mostly full */

void app_main(void);

static int read_line(void *data, uint32_t bytes)
{
    return (int)stdio_line_read(data, bytes);
}

static int write_line(const uint8_t *data, size_t bytes)
{
    size_t sent = 0;
    while (sent < bytes) {
        sent += stdio_line_write(data + sent, bytes - sent);
    }
    return (int)sent;
}

esp_err_t usb_serial_jtag_driver_install(usb_serial_jtag_driver_config_t *config)
{
    return config->rx_buffer_size > 64u ? ESP_OK : -1;
}

int usb_serial_jtag_read_bytes(void *data, uint32_t bytes, TickType_t ticks)
{
    (void)ticks;
    return read_line(data, bytes);
}

/* Whole or not at all, like the driver's ring buffer. */
int usb_serial_jtag_write_bytes(const void *data, size_t bytes, TickType_t ticks)
{
    (void)ticks;
    return bytes > ROOM_BYTES ? 0 : write_line(data, bytes);
}

esp_err_t uart_driver_install(uart_port_t port, int rx_bytes, int tx_bytes, int queue_size, void *queue, int flags)
{
    (void)port;
    (void)queue;
    return rx_bytes > 128 && tx_bytes > 128 && queue_size == 0 && flags == 0 ? ESP_OK : -1;
}

esp_err_t uart_param_config(uart_port_t port, const uart_config_t *config)
{
    (void)port;
    return config->baud_rate == 115200 ? ESP_OK : -1;
}

int uart_read_bytes(uart_port_t port, void *data, uint32_t bytes, TickType_t ticks)
{
    (void)port;
    (void)ticks;
    return read_line(data, bytes);
}

esp_err_t uart_get_tx_buffer_free_size(uart_port_t port, size_t *bytes)
{
    (void)port;
    *bytes = ROOM_BYTES;
    return ESP_OK;
}

int uart_write_bytes(uart_port_t port, const void *data, size_t bytes)
{
    (void)port;
    return write_line(data, bytes);
}

int64_t esp_timer_get_time(void)
{
    return (int64_t)stdio_line_us();
}

void vTaskDelay(TickType_t ticks)
{
    (void)stdio_line_waits((int)ticks);
}

int main(void)
{
    app_main();
    return 0;
}

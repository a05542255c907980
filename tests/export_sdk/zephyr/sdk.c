/* The UART's interrupt runs wherever the sample asks for the time, sleeps, or enables it. */
#include <stdlib.h>
#include <zephyr/device.h>
#include <zephyr/drivers/uart.h>
#include <zephyr/kernel.h>

#include "stdio_line.h"

const struct device sdk_double_console = {"console"};

static uart_irq_callback_user_data_t handler;
static void *handler_data;
static bool rx_enabled;
static bool tx_enabled;
static int tx_room;

static void interrupt(void)
{
    tx_room = 1;
    if (handler != NULL && ((rx_enabled && stdio_line_waits(0)) || tx_enabled)) {
        handler(&sdk_double_console, handler_data);
    }
}

bool device_is_ready(const struct device *device)
{
    return device == &sdk_double_console;
}

int uart_irq_callback_user_data_set(const struct device *device, uart_irq_callback_user_data_t callback, void *user_data)
{
    (void)device;
    handler = callback;
    handler_data = user_data;
    return 0;
}

void uart_irq_rx_enable(const struct device *device)
{
    (void)device;
    rx_enabled = true;
}

void uart_irq_tx_enable(const struct device *device)
{
    (void)device;
    tx_enabled = true;
    interrupt();
}

void uart_irq_tx_disable(const struct device *device)
{
    (void)device;
    tx_enabled = false;
}

int uart_irq_update(const struct device *device)
{
    (void)device;
    return 1;
}

int uart_irq_rx_ready(const struct device *device)
{
    (void)device;
    return rx_enabled && stdio_line_waits(0);
}

int uart_irq_tx_ready(const struct device *device)
{
    (void)device;
    return tx_enabled && tx_room > 0;
}

int uart_irq_is_pending(const struct device *device)
{
    return uart_irq_rx_ready(device) || uart_irq_tx_ready(device);
}

int uart_fifo_read(const struct device *device, uint8_t *data, int size)
{
    (void)device;
    return (int)stdio_line_read(data, (size_t)size);
}

int uart_fifo_fill(const struct device *device, const uint8_t *data, int size)
{
    (void)device;
    const int count = (int)stdio_line_write(data, (size_t)size);
    tx_room = count == size ? 1 : 0;
    return count;
}

void k_sem_give(struct k_sem *sem)
{
    sem->count += sem->count < sem->limit ? 1u : 0u;
}

int k_sem_take(struct k_sem *sem, k_timeout_t timeout)
{
    if (sem->count == 0) {
        (void)stdio_line_waits((int)timeout.ms);
        interrupt();
    }
    const bool given = sem->count > 0;
    sem->count -= given ? 1u : 0u;
    return given ? 0 : -11;
}

int64_t k_uptime_ticks(void)
{
    interrupt();
    return (int64_t)stdio_line_us();
}

uint64_t k_ticks_to_us_floor64(uint64_t ticks)
{
    return ticks;
}

void k_panic(void)
{
    abort();
}

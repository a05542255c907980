/* API double of Zephyr: what the exported sample calls. See ../../../README.md. */
#ifndef ZEPHYR_DRIVERS_UART_H
#define ZEPHYR_DRIVERS_UART_H

#include <zephyr/device.h>

typedef void (*uart_irq_callback_user_data_t)(const struct device *device, void *user_data);

int uart_irq_callback_user_data_set(const struct device *device, uart_irq_callback_user_data_t callback, void *user_data);
void uart_irq_rx_enable(const struct device *device);
void uart_irq_tx_enable(const struct device *device);
void uart_irq_tx_disable(const struct device *device);
int uart_irq_update(const struct device *device);
int uart_irq_is_pending(const struct device *device);
int uart_irq_rx_ready(const struct device *device);
int uart_irq_tx_ready(const struct device *device);
int uart_fifo_read(const struct device *device, uint8_t *data, int size);
int uart_fifo_fill(const struct device *device, const uint8_t *data, int size);

#endif /* ZEPHYR_DRIVERS_UART_H */

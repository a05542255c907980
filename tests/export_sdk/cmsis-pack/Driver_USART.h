/* API double of CMSIS-Driver USART: what the exported example calls. See ../README.md. */
#ifndef DRIVER_USART_H
#define DRIVER_USART_H

#include <stdint.h>

#define ARM_USART_MODE_ASYNCHRONOUS 0x01u
#define ARM_USART_DATA_BITS_8 (0u << 8)
#define ARM_USART_PARITY_NONE (0u << 12)
#define ARM_USART_STOP_BITS_1 (0u << 14)
#define ARM_USART_FLOW_CONTROL_NONE (0u << 16)
#define ARM_USART_CONTROL_TX 0x15u
#define ARM_USART_CONTROL_RX 0x16u
#define ARM_USART_EVENT_SEND_COMPLETE (1u << 0)
#define ARM_USART_EVENT_RECEIVE_COMPLETE (1u << 1)
#define ARM_USART_EVENT_RX_OVERFLOW (1u << 5)

typedef enum { ARM_POWER_OFF, ARM_POWER_LOW, ARM_POWER_FULL } ARM_POWER_STATE;

typedef struct {
    uint32_t tx_busy : 1;
    uint32_t rx_busy : 1;
} ARM_USART_STATUS;

typedef void (*ARM_USART_SignalEvent_t)(uint32_t event);

typedef struct {
    int32_t (*Initialize)(ARM_USART_SignalEvent_t callback);
    int32_t (*PowerControl)(ARM_POWER_STATE state);
    int32_t (*Send)(const void *data, uint32_t count);
    int32_t (*Receive)(void *data, uint32_t count);
    int32_t (*Control)(uint32_t control, uint32_t value);
    ARM_USART_STATUS (*GetStatus)(void);
} const ARM_DRIVER_USART;

#endif /* DRIVER_USART_H */

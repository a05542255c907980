/* Arm MPS2 with image AN500: Cortex-M7 with double-precision FPU. */
#ifndef KIT_BOARD_H
#define KIT_BOARD_H

#define KIT_BOARD_NAME "mps2-an500"
#define KIT_BOARD_SYSTICK_HZ 25000000u
#define KIT_BOARD_TIMER_HZ 25000000u
#define KIT_BOARD_TIMER_BASE 0x40000000u /* TIMER0 */
#define KIT_BOARD_UART_HZ 25000000u
#define KIT_BOARD_UART_BASE 0x40004000u /* UART0 */
#define KIT_BOARD_UART_IRQ 0u           /* UART0 receive */
#define KIT_BOARD_IRQS 1u               /* vectors behind the system exceptions */
#define KIT_BOARD_RX_RING_BYTES 128u

#endif /* KIT_BOARD_H */

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
#define KIT_BOARD_UART_TX_IRQ 1u        /* UART0 transmit */
#define KIT_BOARD_IRQS 2u               /* vectors behind the system exceptions */
#define KIT_BOARD_BAUD 115200u
#define KIT_BOARD_RX_RING_BYTES 512u
#define KIT_BOARD_MACS_PER_MS 4000u       /* encoder and search on this core, at least: see app_main.c */

#endif /* KIT_BOARD_H */

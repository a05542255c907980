/* Arm MPS3 with image AN547: Cortex-M55 with FPU and Helium, code and data in tightly coupled memory. */
#ifndef KIT_BOARD_H
#define KIT_BOARD_H

#define KIT_BOARD_NAME "mps3-an547"
#define KIT_BOARD_SYSTICK_HZ 32000000u
#define KIT_BOARD_COUNTER_HZ 32000000u
#define KIT_BOARD_COUNTER_CONTROL 0x58100000u /* system counter of the subsystem SSE-300: Secure control frame */
#define KIT_BOARD_COUNTER_STATUS 0x48101000u  /* and the frame that only shows its value */
#define KIT_BOARD_UART_HZ 25000000u
#define KIT_BOARD_UART_BASE 0x49303000u /* UART0 */
#define KIT_BOARD_UART_IRQ 33u          /* UART0 receive */
#define KIT_BOARD_UART_TX_IRQ 34u       /* UART0 transmit */
#define KIT_BOARD_IRQS 35u              /* vectors behind the system exceptions */
#define KIT_BOARD_BAUD 115200u
#define KIT_BOARD_RX_RING_BYTES 512u
#define KIT_BOARD_MACS_PER_MS 8000u     /* encoder and search on this core, at least: see app_main.c */

#endif /* KIT_BOARD_H */

/* BBC micro:bit (first version): nRF51822, Cortex-M0 at 16 MHz, 16 KB RAM. */
#ifndef KIT_BOARD_H
#define KIT_BOARD_H

#define KIT_BOARD_NAME "microbit"
#define KIT_BOARD_UART_IRQ 2u  /* UART0 */
#define KIT_BOARD_TIMER_IRQ 8u /* TIMER0 */
#define KIT_BOARD_IRQS 9u      /* vectors behind the system exceptions */
#define KIT_BOARD_BAUD 115200u
#define KIT_BOARD_RX_RING_BYTES 512u
#define KIT_BOARD_MACS_PER_MS 1600u /* encoder and search on this core, at least: see app_main.c */

#endif /* KIT_BOARD_H */

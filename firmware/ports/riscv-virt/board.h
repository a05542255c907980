/* QEMU's RISC-V machine "virt": RV32IMAC. */
#ifndef KIT_BOARD_H
#define KIT_BOARD_H

#define KIT_BOARD_NAME "riscv-virt"
#define KIT_BOARD_CLINT_BASE 0x02000000u
#define KIT_BOARD_CLINT_HZ 10000000u
#define KIT_BOARD_PLIC_BASE 0x0C000000u
#define KIT_BOARD_RESET_BASE 0x00100000u /* test device: this word written to it resets the machine */
#define KIT_BOARD_RESET_WORD 0x7777u
#define KIT_BOARD_UART_BASE 0x10000000u /* 16550 */
#define KIT_BOARD_UART_HZ 3686400u
#define KIT_BOARD_UART_IRQ 10u
#define KIT_BOARD_BAUD 115200u
#define KIT_BOARD_RX_RING_BYTES 512u
#define KIT_BOARD_MACS_PER_MS 2000u /* encoder and search on this core, at least: see app_main.c */

#endif /* KIT_BOARD_H */

/* This machine, playing a microcontroller whose UART holds one received byte. */
#ifndef KIT_BOARD_H
#define KIT_BOARD_H

#define KIT_BOARD_NAME "native-uart"
#define KIT_BOARD_BAUD 115200u
#ifndef KIT_BOARD_RX_RING_BYTES
#define KIT_BOARD_RX_RING_BYTES 512u
#endif
#define KIT_BOARD_MACS_PER_MS 1600u /* the slowest board's; what a turn really costs, the host decides */

#endif /* KIT_BOARD_H */

/* This machine. */
#ifndef KIT_BOARD_H
#define KIT_BOARD_H

#define KIT_BOARD_NAME "native"

#endif /* KIT_BOARD_H */

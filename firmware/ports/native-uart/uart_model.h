/* A microcontroller's time and its UART, simulated: what QEMU leaves out. QEMU makes the sender wait until the firmware
 * has taken a byte; a real line does not wait.
 *
 * Time is a number. It moves when the main loop has done a turn, by what that turn is said to cost, and while it sleeps.
 * Meanwhile the line delivers a byte every ten bit times into a register that holds one. A byte that finds the register
 * full is lost and counted. The receive interrupt empties the register at once, whatever the main loop is doing, unless
 * the firmware holds it off.
 *
 * The other end of the line, a program on this machine, says over standard input what happens next, one command at a time
 * (little-endian), and the simulation stands still until it does:
 *
 *     'C' u32 turn_us, u32 turn_us_max, u32 polled    cost of a turn; of one in sixteen; 1: no receive interrupt
 *     'W' u32 count, bytes                            put bytes on the line, right behind those still on it
 *     'R' u64 until_ns                                run until a zero byte came out, or until that time
 *
 * and is answered, after 'R' only, by u64 now_ns, u32 count, bytes: when it is, and what came out of the line. The end of
 * standard input ends the process. */
#ifndef KIT_UART_MODEL_H
#define KIT_UART_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* Wait for the first command. */
void uart_model_begin(void);

/* Nanoseconds since the start. */
uint64_t uart_model_now_ns(void);

/* Time passes: a turn of the main loop was worked through, or it sleeps until something happens, a millisecond at most. */
void uart_model_turn(void);
void uart_model_sleep(void);

/* The receive register: whether a byte is in it, and taking it out. */
bool uart_model_rx_full(void);
uint8_t uart_model_rx_take(void);

/* Whether a receive interrupt is wired up, and how many bytes found the register full. */
bool uart_model_rx_interrupts(void);
uint32_t uart_model_rx_lost(void);

/* The transmit register: whether it is free, and giving it a byte. */
bool uart_model_tx_free(void);
void uart_model_tx_put(uint8_t byte);

/* What the port does when the hardware calls: a byte came in, the transmit register became free. */
void uart_port_rx_interrupt(void);
void uart_port_tx_interrupt(void);

#endif /* KIT_UART_MODEL_H */

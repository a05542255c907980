/* The core's own header. Each of them gives the same names, which is all that code shared by cores may use:
 *     KIT_REG32, KIT_REG8           memory-mapped registers
 *     kit_irq_enable                an interrupt of the board's controller
 *     kit_interrupts_off, _on       all interrupts
 *     kit_wait_for_interrupt        sleep until one is pending, also one that is held back
 *     kit_core_reset                start again from reset; does not return
 *     kit_core_semihosting          one semihosting call
 * and declares what every image brings along: kit_exit and kit_fault. */
#ifndef KIT_CORE_H
#define KIT_CORE_H

#include <stdint.h>

#define KIT_REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define KIT_REG8(address) (*(volatile uint8_t *)(uintptr_t)(address))

/* Each image brings its own end: the application resets the core, the runner exits over semihosting. */
__attribute__((noreturn)) void kit_exit(int code);
__attribute__((noreturn)) void kit_fault(void);

#if defined(__riscv)
#include "riscv.h"
#elif defined(__arm__)
#include "cortexm.h"
#else
#error "kit: no core header for this processor; see ports/README.md"
#endif

#endif /* KIT_CORE_H */

/* 32-bit RISC-V in machine mode: control registers, platform-level interrupt controller (PLIC) and timer (CLINT), whose
 * addresses board.h gives. Included by core.h. */
#ifndef KIT_RISCV_H
#define KIT_RISCV_H

#include "board.h"

/* Offsets after the PLIC specification 1.0; context 0 is machine mode of hart 0. */
#define KIT_PLIC_PRIORITY(irq) KIT_REG32(KIT_BOARD_PLIC_BASE + 4u * (irq))
#define KIT_PLIC_ENABLE(irq) KIT_REG32(KIT_BOARD_PLIC_BASE + 0x2000u + 4u * ((irq) / 32u))
#define KIT_PLIC_THRESHOLD KIT_REG32(KIT_BOARD_PLIC_BASE + 0x200000u)
#define KIT_PLIC_CLAIM KIT_REG32(KIT_BOARD_PLIC_BASE + 0x200004u) /* read: claim, write: complete */

#define KIT_CLINT_MTIMECMP_LOW KIT_REG32(KIT_BOARD_CLINT_BASE + 0x4000u)
#define KIT_CLINT_MTIMECMP_HIGH KIT_REG32(KIT_BOARD_CLINT_BASE + 0x4004u)
#define KIT_CLINT_MTIME_LOW KIT_REG32(KIT_BOARD_CLINT_BASE + 0xBFF8u)
#define KIT_CLINT_MTIME_HIGH KIT_REG32(KIT_BOARD_CLINT_BASE + 0xBFFCu)

/* Privileged architecture: mstatus.MIE, and the bits of mie. */
#define KIT_MSTATUS_MIE 0x8u
#define KIT_MIE_TIMER 0x80u
#define KIT_MIE_EXTERNAL 0x800u

static inline void kit_interrupts_off(void)
{
    __asm volatile("csrc mstatus, %0" ::"r"(KIT_MSTATUS_MIE) : "memory");
}

static inline void kit_interrupts_on(void)
{
    __asm volatile("csrs mstatus, %0" ::"r"(KIT_MSTATUS_MIE) : "memory");
}

static inline void kit_irq_enable(uint32_t irq)
{
    KIT_PLIC_PRIORITY(irq) = 1u;
    KIT_PLIC_THRESHOLD = 0;
    KIT_PLIC_ENABLE(irq) |= 1u << (irq & 31u);
    __asm volatile("csrs mie, %0" ::"r"(KIT_MIE_EXTERNAL) : "memory");
    kit_interrupts_on();
}

static inline void kit_wait_for_interrupt(void)
{
    __asm volatile("wfi" ::: "memory");
}

__attribute__((noreturn)) static inline void kit_core_reset(void)
{
    kit_interrupts_off();
    KIT_REG32(KIT_BOARD_RESET_BASE) = KIT_BOARD_RESET_WORD;
    for (;;) {
    }
}

/* RISC-V semihosting 0.2: operations and arguments of Arm's; the two shifts mark the breakpoint, and the three
 * instructions are neither compressed nor in different pages. */
static inline uint32_t kit_core_semihosting(uint32_t operation, const void *argument)
{
    register uint32_t a0 __asm("a0") = operation;
    register uint32_t a1 __asm("a1") = (uint32_t)(uintptr_t)argument;
    __asm volatile(".option push\n\t"
                   ".balign 16\n\t"
                   ".option norvc\n\t"
                   "slli x0, x0, 0x1f\n\t"
                   "ebreak\n\t"
                   "srai x0, x0, 7\n\t"
                   ".option pop"
                   : "+r"(a0)
                   : "r"(a1)
                   : "memory");
    return a0;
}

#endif /* KIT_RISCV_H */

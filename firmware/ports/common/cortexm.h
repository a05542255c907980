/* What the Cortex-M ports share: register access, the core's own peripherals, and how an image ends. */
#ifndef KIT_CORTEXM_H
#define KIT_CORTEXM_H

#include <stdint.h>

#define KIT_REG32(address) (*(volatile uint32_t *)(uintptr_t)(address))

/* Core peripherals, at the same address on every Cortex-M (Armv6-M and Armv7-M reference manuals). */
#define KIT_SYST_CSR KIT_REG32(0xE000E010u) /* SysTick control: bit 0 enable, bit 1 interrupt, bit 2 core clock */
#define KIT_SYST_RVR KIT_REG32(0xE000E014u)
#define KIT_SYST_CVR KIT_REG32(0xE000E018u)
#define KIT_NVIC_ISER(irq) KIT_REG32(0xE000E100u + 4u * ((irq) / 32u))
#define KIT_SCB_AIRCR KIT_REG32(0xE000ED0Cu)
#define KIT_SCB_CPACR KIT_REG32(0xE000ED88u)

static inline void kit_irq_enable(uint32_t irq)
{
    KIT_NVIC_ISER(irq) = 1u << (irq & 31u);
}

static inline void kit_interrupts_off(void)
{
    __asm volatile("cpsid i" ::: "memory");
}

static inline void kit_interrupts_on(void)
{
    __asm volatile("cpsie i" ::: "memory");
}

/* Sleep until an interrupt is pending, also one that cpsid holds back. */
static inline void kit_wait_for_interrupt(void)
{
    __asm volatile("dsb\n\twfi" ::: "memory");
}

/* Each image brings its own end: the application resets the core, the runner exits over semihosting. */
__attribute__((noreturn)) void kit_exit(int code);
__attribute__((noreturn)) void kit_fault(void);

#endif /* KIT_CORTEXM_H */

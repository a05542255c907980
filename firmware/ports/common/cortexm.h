/* Cortex-M: the core's own peripherals, and what core.h promises of every core. Included by core.h. */
#ifndef KIT_CORTEXM_H
#define KIT_CORTEXM_H

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

__attribute__((noreturn)) static inline void kit_core_reset(void)
{
    KIT_SCB_AIRCR = 0x05FA0004u; /* key and SYSRESETREQ */
    for (;;) {
        __asm volatile("dsb" ::: "memory");
    }
}

/* Arm semihosting for AArch32; a debugger or emulator acts on the breakpoint. */
static inline uint32_t kit_core_semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register uint32_t r1 __asm("r1") = (uint32_t)(uintptr_t)argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

#endif /* KIT_CORTEXM_H */

/* Start-up of a 32-bit RISC-V core in machine mode: stack, traps, memory, then main(). common/riscv.ld places kit_reset
 * where the core begins and defines the symbols below. */
#include "board.h"
#include "core.h"

#define CAUSE_TIMER 0x80000007u
#define CAUSE_EXTERNAL 0x8000000Bu

extern const uint32_t kit_data_load[];
extern uint32_t kit_data_start[], kit_data_end[];
extern uint32_t kit_bss_start[], kit_bss_end[];

extern int main(void);
void kit_reset(void);
void kit_start(void);
void kit_trap(void);

/* Handlers exist only in images that use them. */
__attribute__((weak)) void kit_uart_irq(void);
__attribute__((weak)) void kit_timer_irq(void);

__attribute__((naked, used, section(".vectors"))) void kit_reset(void)
{
    __asm volatile(".option push\n\t"
                   ".option norelax\n\t" /* relaxed, the next line would set gp from gp */
                   "la gp, __global_pointer$\n\t"
                   ".option pop\n\t"
                   "la sp, kit_stack_top\n\t"
                   "la t0, kit_trap\n\t"
                   "csrw mtvec, t0\n\t"
                   "j kit_start");
}

__attribute__((used, noreturn)) void kit_start(void)
{
    /* volatile keeps both loops from becoming calls of memcpy and memset. */
    const volatile uint32_t *from = kit_data_load;
    for (volatile uint32_t *to = kit_data_start; to < kit_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *to = kit_bss_start; to < kit_bss_end; to++) {
        *to = 0;
    }
    kit_exit(main());
}

/* Every trap comes here (mtvec in direct mode), with interrupts off until it returns. What is no interrupt of this
 * firmware is a fault. */
__attribute__((interrupt("machine"), aligned(4))) void kit_trap(void)
{
    uint32_t cause;
    __asm volatile("csrr %0, mcause" : "=r"(cause));
    if (cause == CAUSE_TIMER && kit_timer_irq != 0) {
        kit_timer_irq();
        return;
    }
    if (cause != CAUSE_EXTERNAL || kit_uart_irq == 0) {
        kit_fault();
    }
    const uint32_t irq = KIT_PLIC_CLAIM;
    if (irq == KIT_BOARD_UART_IRQ) {
        kit_uart_irq();
    }
    if (irq != 0) {
        KIT_PLIC_CLAIM = irq;
    }
}

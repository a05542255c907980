/* Start-up of a Cortex-M: vector table, floating-point unit and Helium, memory, then main(). common/cortexm.ld places
 * kit_vectors where the core reads it after reset and defines the symbols below. */
#include "board.h"
#include "core.h"

extern uint32_t kit_stack_top[];
extern const uint32_t kit_data_load[];
extern uint32_t kit_data_start[], kit_data_end[];
extern uint32_t kit_bss_start[], kit_bss_end[];

#if defined(KIT_ENGINE_TFLM)
typedef void (*kit_constructor_t)(void);
extern const kit_constructor_t kit_init_array_start[], kit_init_array_end[];
#endif

extern int main(void);
void kit_reset(void);

/* Handlers exist only in images that use them; an absent one leaves 0 in the table, which faults if it is ever taken. */
__attribute__((weak)) void kit_systick(void);
__attribute__((weak)) void kit_uart_irq(void);
__attribute__((weak)) void kit_uart_tx_irq(void);
__attribute__((weak)) void kit_timer_irq(void);

void kit_reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* Floating-point unit and Helium share a switch. The compiler may spill to their registers even where the source
     * has no float. */
    KIT_SCB_CPACR |= 0xFu << 20;
    __asm volatile("dsb\n\tisb" ::: "memory");
#endif
    /* volatile keeps both loops from becoming calls of memcpy and memset. */
    const volatile uint32_t *from = kit_data_load;
    for (volatile uint32_t *to = kit_data_start; to < kit_data_end; to++) {
        *to = *from++;
    }
    for (volatile uint32_t *to = kit_bss_start; to < kit_bss_end; to++) {
        *to = 0;
    }
#if defined(KIT_ENGINE_TFLM)
    for (const kit_constructor_t *each = kit_init_array_start; each < kit_init_array_end; each++) {
        (*each)();
    }
#endif
    kit_exit(main());
}

typedef void (*kit_vector_t)(void);

__attribute__((section(".vectors"), used)) static const kit_vector_t kit_vectors[16 + KIT_BOARD_IRQS] = {
    [0] = (kit_vector_t)(uintptr_t)kit_stack_top,
    [1] = kit_reset,
    [2] = kit_fault, /* NMI */
    [3] = kit_fault, /* HardFault; the finer faults of Armv7-M escalate to it while they are not enabled */
    [15] = kit_systick,
    [16 + KIT_BOARD_UART_IRQ] = kit_uart_irq,
#if defined(KIT_BOARD_UART_TX_IRQ)
    [16 + KIT_BOARD_UART_TX_IRQ] = kit_uart_tx_irq,
#endif
#if defined(KIT_BOARD_TIMER_IRQ)
    [16 + KIT_BOARD_TIMER_IRQ] = kit_timer_irq,
#endif
};

/* API double of a device header with CMSIS-Core. See ../README.md. */
#ifndef DEVICE_DOUBLE_H
#define DEVICE_DOUBLE_H

#include <stdint.h>

typedef struct {
    volatile uint32_t CTRL;
    volatile uint32_t LOAD;
    volatile uint32_t VAL;
    volatile const uint32_t CALIB;
} SysTick_Type;

extern SysTick_Type sdk_double_systick;
#define SysTick (&sdk_double_systick)

extern uint32_t SystemCoreClock;
void SystemCoreClockUpdate(void);
uint32_t SysTick_Config(uint32_t ticks);
void sdk_double_wfi(void);
#define __WFI() sdk_double_wfi()

#endif /* DEVICE_DOUBLE_H */

/* End of the application image: a fault or an end that should not be resets the core, so that a device in the field
 * comes back. No semihosting here: without a debugger its breakpoint would lock the core up. */
#include "cortexm.h"

void kit_exit(int code)
{
    (void)code;
    kit_fault();
}

void kit_fault(void)
{
    KIT_SCB_AIRCR = 0x05FA0004u; /* key and SYSRESETREQ */
    for (;;) {
        __asm volatile("dsb" ::: "memory");
    }
}

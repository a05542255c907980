/* End of the test programs without an operating system: main's result goes through semihosting to whoever started the
 * emulator, 99 after a fault. The start-up is that of the board's port. */
#include "core.h"

#define SYS_EXIT_EXTENDED 0x20u
#define APPLICATION_EXIT 0x20026u
#define FAULT 99

void kit_exit(int code)
{
    const uint32_t block[2] = {APPLICATION_EXIT, (uint32_t)code};
    for (;;) {
        (void)kit_core_semihosting(SYS_EXIT_EXTENDED, block);
    }
}

void kit_fault(void)
{
    kit_exit(FAULT);
}

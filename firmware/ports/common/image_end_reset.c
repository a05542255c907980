/* End of the application image: a fault or an end that should not be resets the core, so that a device in the field
 * comes back. No semihosting here: without a debugger its breakpoint would lock the core up. */
#include "core.h"

void kit_exit(int code)
{
    (void)code;
    kit_fault();
}

void kit_fault(void)
{
    kit_core_reset();
}

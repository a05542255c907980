/* main() of the application image, the same on every target. */
#include "kit_app.h"
#include "kit_port.h"

static kit_app_t app;

int main(void)
{
    kit_port_init();
    if (kit_app_init(&app) != KIT_OK) {
        return 1; /* the rendered tables do not fit the runtime; the build asserts it, so only a damaged image gets here */
    }
    for (;;) {
        kit_port_watchdog();
        if (!kit_app_poll(&app)) {
            kit_port_idle();
        }
    }
}

/* main() of the application image, the same on every target. */
#include "board.h"
#include "kit_app.h"
#include "kit_port.h"

#if defined(KIT_BOARD_MACS_PER_MS)
/* The receive ring holds what arrives while the main loop is in the longest step: a byte is ten bits on the line (115200
 * baud: 11.52 bytes a millisecond), a step is at most KIT_STEP_MACS_MAX multiply-accumulates, the board's core does at
 * least KIT_BOARD_MACS_PER_MS of them in a millisecond, and two more are for rounding and everything else in a turn. When
 * this fails for a large model, raise KIT_BOARD_RX_RING_BYTES in the board's board.h (a power of two). */
#define LONGEST_TURN_MS (KIT_STEP_MACS_MAX / KIT_BOARD_MACS_PER_MS + 2u)
KIT_STATIC_ASSERT(KIT_BOARD_RX_RING_BYTES >= LONGEST_TURN_MS * KIT_BOARD_BAUD / 10000u + 1u,
                  the_receive_ring_holds_what_arrives_during_the_longest_step);
#endif
#if defined(KIT_BOARD_RX_RING_BYTES)
KIT_STATIC_ASSERT(KIT_BOARD_RX_RING_BYTES <= KIT_APP_RX_POLL_BYTES, one_poll_empties_the_receive_ring);
#endif

static kit_app_t app;

int main(void)
{
    kit_port_init();
    (void)kit_app_init(&app); /* a codec that does not start tells the host why */
    for (;;) {
        kit_port_watchdog();
        if (!kit_app_poll(&app)) {
            kit_port_idle();
        }
    }
}

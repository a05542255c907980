/* Test program: kit_codec_push in a timer signal, which interrupts the polling program anywhere, as a sensor's
 * interrupt does. A sample that finds no room waits for the next signal.
 *
 *     interrupt_main < samples > packets */
#define _XOPEN_SOURCE 600
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>

#include "kit_generated.h"

#define SAMPLES_MAX 65536
#define PER_SIGNAL 11

static KIT_STORAGE_T storage;
static kit_sample_t samples[SAMPLES_MAX];
static size_t count;
static volatile size_t pushed;
static volatile sig_atomic_t done;

static void on_timer(int signal_number)
{
    (void)signal_number;
    size_t at = pushed;
    for (unsigned i = 0; i < PER_SIGNAL && at < count && kit_codec_room(KIT_CODEC(&storage)) != 0; i++) {
        at += kit_codec_push(KIT_CODEC(&storage), &samples[at], 1);
    }
    pushed = at;
    done = at == count;
}

int main(void)
{
    const struct itimerval period = {{0, 40}, {0, 40}};
    const struct itimerval off = {{0, 0}, {0, 0}};
    struct sigaction action;
    kit_codec_t *codec = KIT_CODEC(&storage);
    if (KIT_INIT(&storage) != KIT_OK) {
        return 1;
    }
    count = fread(samples, sizeof samples[0], SAMPLES_MAX, stdin);
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    action.sa_handler = on_timer;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &period, NULL);
    for (;;) {
        const int last = done; /* before the poll: what was pushed until here must be coded */
        const kit_status_t status = kit_codec_poll(codec);
        if (status == KIT_PACKET) {
            uint16_t bytes = 0;
            const uint8_t *packet = kit_codec_packet(codec, &bytes);
            fwrite(packet, 1, bytes, stdout);
        } else if (status < 0) {
            return 1;
        } else if (status == KIT_IDLE && last) {
            break;
        }
    }
    setitimer(ITIMER_REAL, &off, NULL);
    return kit_codec_dropped(codec) == 0 ? 0 : 1;
}

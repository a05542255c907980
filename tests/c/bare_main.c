/* Test program without an operating system: codes the embedded frames on a bare Cortex-M and exits, through
 * semihosting, with the number of frames whose packet is wrong (100 when nothing could be coded). */
#include "kit_generated.h"
#include KIT_VECTORS_HEADER

#define SYS_EXIT_EXTENDED 0x20
#define APPLICATION_EXIT 0x20026u
#define CPACR (*(volatile uint32_t *)0xE000ED88u)

extern uint8_t stack_top;
int main(void);
void reset(void);

static KIT_STORAGE_T storage;

static int semihosting(int operation, const void *arguments)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int packet_is_right(kit_codec_t *codec, unsigned frame)
{
    uint16_t bytes = 0;
    int right = 1;
    (void)kit_codec_push(codec, KIT_EMBEDDED_SAMPLES[frame], KIT_FRAME_SAMPLES);
    while (kit_codec_poll(codec) != KIT_PACKET) {
    }
    const uint8_t *packet = kit_codec_packet(codec, &bytes);
    for (unsigned i = 0; i < KIT_PACKET_BYTES; i++) {
        right &= packet[i] == KIT_EMBEDDED_PACKETS[frame][i];
    }
    return right && bytes == KIT_PACKET_BYTES;
}

int main(void)
{
    uint32_t wrong = 0;
    if (KIT_INIT(&storage) != KIT_OK) {
        wrong = 100;
    }
    for (unsigned frame = 0; wrong != 100 && frame < KIT_EMBEDDED_FRAMES; frame++) {
        wrong += packet_is_right(KIT_CODEC(&storage), frame) ? 0u : 1u;
    }
    const uint32_t exit_block[2] = {APPLICATION_EXIT, wrong};
    (void)semihosting(SYS_EXIT_EXTENDED, exit_block);
    return 0;
}

void reset(void)
{
#if !defined(__ARM_ARCH_6M__)
    CPACR |= 0xFu << 20; /* floating point and Helium on */
    __asm__ volatile("dsb\n isb");
#endif
    (void)main();
    for (;;) {
    }
}

static const struct {
    uint8_t *stack;
    void (*entry)(void);
} vectors __attribute__((section(".vectors"), used)) = {&stack_top, reset};

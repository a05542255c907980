/* API double of Zephyr: what the exported sample calls. See ../../README.md. */
#ifndef ZEPHYR_KERNEL_H
#define ZEPHYR_KERNEL_H

#include <stdint.h>

#define ARG_UNUSED(x) (void)(x)

struct k_sem {
    unsigned count;
    unsigned limit;
};

typedef struct {
    int64_t ms;
} k_timeout_t;

#define K_MSEC(value) ((k_timeout_t){value})
#define K_SEM_DEFINE(name, initial, most) struct k_sem name = {initial, most}

void k_sem_give(struct k_sem *sem);
int k_sem_take(struct k_sem *sem, k_timeout_t timeout);
int64_t k_uptime_ticks(void);
uint64_t k_ticks_to_us_floor64(uint64_t ticks);
void k_panic(void);

#endif /* ZEPHYR_KERNEL_H */

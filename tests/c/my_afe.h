/* The driver that docs/sensor.md takes for granted; sensor_main.c plays it. */
#ifndef MY_AFE_H
#define MY_AFE_H

#include <stdint.h>

void my_afe_start(void);
void my_afe_stop(void);
int32_t my_afe_sample(void);
void my_afe_irq(void);

#endif /* MY_AFE_H */

/* API double of an Arduino core: what the exported example calls. See ../README.md. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stddef.h>
#include <stdint.h>

class SerialDouble {
public:
    void begin(unsigned long baud);
    int available();
    int read();
    int availableForWrite();
    size_t write(const uint8_t *data, size_t bytes);
};

extern SerialDouble Serial;

unsigned long micros();
void yield();
void setup();
void loop();

#endif /* ARDUINO_H */

#include "Arduino.h"
#include "stdio_line.h"

SerialDouble Serial;

void SerialDouble::begin(unsigned long baud)
{
    (void)baud;
}

int SerialDouble::available()
{
    return stdio_line_waits(0) ? 1 : 0;
}

int SerialDouble::read()
{
    uint8_t byte = 0;
    return stdio_line_read(&byte, 1) == 1 ? byte : -1;
}

/* One core says what fits, another says 0 for "I do not know". */
int SerialDouble::availableForWrite()
{
#if defined(SDK_DOUBLE_UNKNOWN_ROOM)
    return 0;
#else
    return 64;
#endif
}

size_t SerialDouble::write(const uint8_t *data, size_t bytes)
{
    size_t sent = 0;
    while (sent < bytes) {
        sent += stdio_line_write(data + sent, bytes - sent);
    }
    return sent;
}

unsigned long micros()
{
    return static_cast<unsigned long>(stdio_line_us());
}

void yield()
{
    (void)stdio_line_waits(1);
}

int main()
{
    setup();
    for (;;) {
        loop();
    }
}

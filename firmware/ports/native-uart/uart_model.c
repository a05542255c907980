#include "uart_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"

#define LINE_BYTES_MAX 65536u /* bytes that may be on the line, or wait to be told to the other end */
#define BYTE_NS (10000000000u / KIT_BOARD_BAUD)
#define SLEEP_NS 1000000u
#define NEVER UINT64_MAX

typedef struct {
    uint8_t bytes[LINE_BYTES_MAX];
    uint32_t count;
    uint32_t taken;
} queue_t;

static uint64_t now_ns;
static uint64_t until_ns; /* when the command at hand ends */
static bool message_out;  /* a zero byte came out since it began */
static uint64_t turn_ns = 100000u;
static uint64_t turn_ns_max = 100000u;
static uint32_t state = 1; /* of the generator that chooses the long turns */
static bool polled;

static queue_t inbound; /* on the line towards us */
static uint64_t inbound_ns = NEVER; /* when its next byte is complete */
static bool rx_full;
static uint8_t rx_byte;
static uint32_t rx_lost;

static queue_t outbound; /* came out of the line */
static bool tx_busy;
static uint8_t tx_byte;
static uint64_t outbound_ns = NEVER;

static void end(const char *what)
{
    fprintf(stderr, "uart model: %s\n", what);
    exit(1);
}

static void get(void *data, size_t bytes)
{
    if (bytes != 0 && fread(data, 1, bytes, stdin) != bytes) {
        exit(0); /* the other end left */
    }
}

static uint64_t get_number(size_t bytes)
{
    uint8_t raw[8];
    uint64_t value = 0;
    get(raw, bytes);
    for (size_t i = bytes; i > 0; i--) {
        value = value << 8 | raw[i - 1];
    }
    return value;
}

static void put_number(uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        putchar((int)(value >> (8 * i) & 0xFFu));
    }
}

static void append(queue_t *queue, const uint8_t *data, uint32_t count)
{
    if (queue->taken != 0) {
        queue->count -= queue->taken;
        memmove(queue->bytes, queue->bytes + queue->taken, queue->count);
        queue->taken = 0;
    }
    if (count > LINE_BYTES_MAX - queue->count) {
        end("more bytes than the line holds");
    }
    memcpy(queue->bytes + queue->count, data, count);
    queue->count += count;
}

static void write_line(void)
{
    static uint8_t data[LINE_BYTES_MAX];
    const uint32_t count = (uint32_t)get_number(4);
    if (count > sizeof data) {
        end("more bytes than the line holds");
    }
    get(data, count);
    append(&inbound, data, count);
    if (inbound_ns == NEVER && count != 0) {
        inbound_ns = now_ns + BYTE_NS;
    }
}

/* Carry out commands until one lets time pass. */
static void obey(void)
{
    for (;;) {
        uint8_t command;
        get(&command, 1);
        switch (command) {
        case 'C':
            turn_ns = get_number(4) * 1000u;
            turn_ns_max = get_number(4) * 1000u;
            polled = get_number(4) != 0;
            break;
        case 'W':
            write_line();
            break;
        case 'R':
            until_ns = get_number(8);
            message_out = false;
            return;
        default:
            end("unknown command");
        }
    }
}

static void report(void)
{
    put_number(now_ns, 8);
    put_number(outbound.count, 4);
    if (fwrite(outbound.bytes, 1, outbound.count, stdout) != outbound.count || fflush(stdout) != 0) {
        exit(0);
    }
    outbound.count = 0;
}

static void byte_arrives(void)
{
    const uint8_t byte = inbound.bytes[inbound.taken++];
    inbound_ns = inbound.taken == inbound.count ? NEVER : inbound_ns + BYTE_NS;
    if (rx_full) {
        rx_lost++;
        return;
    }
    rx_byte = byte;
    rx_full = true;
    if (!polled) {
        uart_port_rx_interrupt();
    }
}

static void byte_leaves(void)
{
    append(&outbound, &tx_byte, 1);
    message_out = message_out || tx_byte == 0;
    tx_busy = false;
    outbound_ns = NEVER;
    uart_port_tx_interrupt();
}

static uint64_t earliest(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* Move time on to `end_ns`. Everything that happens on the line until then happens, and the other end hears of it and
 * acts at that very moment, whatever the processor is in the middle of. */
static void advance(uint64_t end_ns)
{
    for (;;) {
        const uint64_t next_ns = earliest(earliest(inbound_ns, outbound_ns), until_ns);
        if (next_ns > end_ns) {
            break;
        }
        now_ns = next_ns > now_ns ? next_ns : now_ns;
        if (inbound_ns == next_ns) {
            byte_arrives();
        } else if (outbound_ns == next_ns) {
            byte_leaves();
        }
        if (message_out || now_ns >= until_ns) {
            report();
            obey();
        }
    }
    now_ns = end_ns;
}

void uart_model_begin(void)
{
    obey();
}

uint64_t uart_model_now_ns(void)
{
    return now_ns;
}

void uart_model_turn(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    advance(now_ns + (state % 16u == 0 ? turn_ns_max : turn_ns));
}

void uart_model_sleep(void)
{
    advance(earliest(earliest(inbound_ns, outbound_ns), now_ns + SLEEP_NS));
}

bool uart_model_rx_full(void)
{
    return rx_full;
}

uint8_t uart_model_rx_take(void)
{
    rx_full = false;
    return rx_byte;
}

bool uart_model_rx_interrupts(void)
{
    return !polled;
}

uint32_t uart_model_rx_lost(void)
{
    return rx_lost;
}

bool uart_model_tx_free(void)
{
    return !tx_busy;
}

void uart_model_tx_put(uint8_t byte)
{
    tx_byte = byte;
    tx_busy = true;
    outbound_ns = now_ns + BYTE_NS;
}

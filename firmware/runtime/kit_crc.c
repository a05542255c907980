#include "kit_crc.h"

/* crc16_nibble[i]: remainder of i * x^16 modulo x^16 + x^12 + x^5 + 1, most significant bit first. */
static const uint16_t crc16_nibble[16] = {
    0x0000u, 0x1021u, 0x2042u, 0x3063u, 0x4084u, 0x50A5u, 0x60C6u, 0x70E7u,
    0x8108u, 0x9129u, 0xA14Au, 0xB16Bu, 0xC18Cu, 0xD1ADu, 0xE1CEu, 0xF1EFu,
};

/* crc32_nibble[i]: the same for the reflected polynomial 0xEDB88320, least significant bit first. */
static const uint32_t crc32_nibble[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
    0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

uint16_t kit_crc16_update(uint16_t crc, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        crc = (uint16_t)((crc << 4) ^ crc16_nibble[((crc >> 12) ^ (data[i] >> 4)) & 15]);
        crc = (uint16_t)((crc << 4) ^ crc16_nibble[((crc >> 12) ^ data[i]) & 15]);
    }
    return crc;
}

uint32_t kit_crc32_update(uint32_t crc, const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        crc = (crc >> 4) ^ crc32_nibble[crc & 15u];
        crc = (crc >> 4) ^ crc32_nibble[crc & 15u];
    }
    return crc;
}

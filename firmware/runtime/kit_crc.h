/* Check values of the serial protocol: CRC-16/CCITT-FALSE and CRC-32 (the one of zlib and Ethernet).
 *
 * Both run from tables of 16 entries: half the speed of a 256-entry table for a sixteenth of its flash. Start from the
 * initial value, update with any number of pieces, then finish; the polynomials and initial values are those of
 * kit_protocol.h. */
#ifndef KIT_CRC_H
#define KIT_CRC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC-16/CCITT-FALSE over `bytes` bytes, continuing from `crc` (KIT_CRC16_INITIAL at first). No final step.
 * Check value: "123456789" gives 0x29B1. */
uint16_t kit_crc16_update(uint16_t crc, const uint8_t *data, size_t bytes);

/* CRC-32 register over `bytes` bytes, continuing from `crc` (KIT_CRC32_INITIAL at first); the check value is the last
 * register XOR KIT_CRC32_FINAL_XOR. Check value: "123456789" gives 0xCBF43926. */
uint32_t kit_crc32_update(uint32_t crc, const uint8_t *data, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* KIT_CRC_H */

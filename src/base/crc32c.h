// CRC32C, the checksum of iSCSI (RFC 3720, section 12.1: polynomial 0x1edc6f41 of Castagnoli, bits
// reflected, all ones before and after).
//
// Finds damage that happened by accident: every burst of up to 32 bits, all else but one in 2^32.
// Does not: withstand somebody who wants two texts with one sum (sha256.h does). The CPU's
// instruction (SSE4.2) is chosen at run time, a table where there is none; both give equal sums. No
// errors, no state: safe on any thread.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace gyrator {

// The sum of what `crc` is the sum of, followed by `bytes`. 0 is the sum of nothing.
uint32_t Crc32cExtend(uint32_t crc, ByteSpan bytes);
inline uint32_t Crc32c(ByteSpan bytes) { return Crc32cExtend(0, bytes); }

// The two ways behind Crc32cExtend, apart for their test.
uint32_t Crc32cByTable(uint32_t crc, ByteSpan bytes);
bool HasCrc32cInstruction();
// REQUIRES: HasCrc32cInstruction().
uint32_t Crc32cByInstruction(uint32_t crc, ByteSpan bytes);

}  // namespace gyrator

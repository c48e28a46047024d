#include "base/crc32c.h"

#include <immintrin.h>

#include <array>

namespace gyrator {

namespace {

constexpr uint32_t kReflectedPolynomial = 0x82f63b78;
constexpr size_t kStep = 8;  // bytes taken at once

// kTables[k][b]: what byte b does to the sum when k bytes follow it in the same step.
using Tables = std::array<std::array<uint32_t, 256>, kStep>;

constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReflectedPolynomial : 0);
    }
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < kStep; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 255];
    }
  }
  return tables;
}

constexpr Tables kTables = MakeTables();

uint64_t LoadWord(ByteSpan bytes) {
  uint64_t word;
  std::memcpy(&word, bytes.data(), sizeof(word));
  return word;
}

}  // namespace

uint32_t Crc32cByTable(uint32_t crc, ByteSpan bytes) {
  crc = ~crc;
  for (; bytes.size() >= kStep; bytes = bytes.subspan(kStep)) {
    const uint64_t word = LoadWord(bytes) ^ crc;
    crc = 0;
    for (size_t i = 0; i < kStep; ++i) crc ^= kTables[kStep - 1 - i][(word >> (8 * i)) & 255];
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<uint32_t>(byte)) & 255];
  }
  return ~crc;
}

bool HasCrc32cInstruction() { return __builtin_cpu_supports("sse4.2") != 0; }

__attribute__((target("sse4.2"))) uint32_t Crc32cByInstruction(uint32_t crc, ByteSpan bytes) {
  uint64_t sum = ~crc;
  for (; bytes.size() >= kStep; bytes = bytes.subspan(kStep)) {
    sum = _mm_crc32_u64(sum, LoadWord(bytes));
  }
  auto last = static_cast<uint32_t>(sum);
  for (const std::byte byte : bytes) last = _mm_crc32_u8(last, static_cast<uint8_t>(byte));
  return ~last;
}

uint32_t Crc32cExtend(uint32_t crc, ByteSpan bytes) {
  static const auto kBest = HasCrc32cInstruction() ? Crc32cByInstruction : Crc32cByTable;
  return kBest(crc, bytes);
}

}  // namespace gyrator

#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace gyrator {
namespace {

using Way = uint32_t (*)(uint32_t, ByteSpan);

// Every way that this machine has.
std::vector<Way> Ways() {
  std::vector<Way> ways = {Crc32cExtend, Crc32cByTable};
  if (HasCrc32cInstruction()) ways.push_back(Crc32cByInstruction);
  return ways;
}

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

// The definition, a bit at a time.
uint32_t BitByBit(ByteSpan bytes) {
  uint32_t crc = 0xffffffff;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) * 0x82f63b78u);
  }
  return ~crc;
}

std::vector<std::byte> RandomBytes(size_t count) {
  std::mt19937 random(7);
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// RFC 3720, B.4, and the usual check value.
TEST(Crc32c, KnownVectors) {
  std::vector<std::byte> up(32), down(32);
  for (size_t i = 0; i < 32; ++i) {
    up[i] = static_cast<std::byte>(i);
    down[i] = static_cast<std::byte>(31 - i);
  }
  const auto read_command = Bytes({0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                   0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                   0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0});
  for (const Way way : Ways()) {
    EXPECT_EQ(0u, way(0, {}));
    EXPECT_EQ(0x8a9136aau, way(0, std::vector<std::byte>(32)));
    EXPECT_EQ(0x62a8ab43u, way(0, std::vector<std::byte>(32, std::byte{0xff})));
    EXPECT_EQ(0x46dd794eu, way(0, up));
    EXPECT_EQ(0x113fdb5cu, way(0, down));
    EXPECT_EQ(0xd9963a56u, way(0, read_command));
    EXPECT_EQ(0xe3069283u, way(0, AsBytes("123456789")));
  }
}

TEST(Crc32c, AllLengthsAndAlignmentsAreTheDefinition) {
  const std::vector<std::byte> bytes = RandomBytes(16 + 300);
  for (size_t start = 0; start < 16; ++start) {
    for (size_t count = 0; count <= 300; ++count) {
      const ByteSpan piece = ByteSpan(bytes).subspan(start, count);
      const uint32_t expected = BitByBit(piece);
      for (const Way way : Ways()) {
        ASSERT_EQ(expected, way(0, piece)) << "start " << start << ", count " << count;
      }
    }
  }
}

TEST(Crc32c, PiecesGiveTheSumOfTheWhole) {
  const std::vector<std::byte> bytes = RandomBytes(100'003);
  const uint32_t whole = BitByBit(bytes);
  std::mt19937 random(8);
  for (const Way way : Ways()) {
    uint32_t crc = 0;
    for (ByteSpan rest = bytes; !rest.empty();) {
      const size_t count = std::min<size_t>(random() % 1000, rest.size());
      crc = way(crc, rest.first(count));
      rest = rest.subspan(count);
    }
    EXPECT_EQ(whole, crc);
  }
}

}  // namespace
}  // namespace gyrator

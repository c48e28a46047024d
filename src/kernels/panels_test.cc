#include "kernels/panels.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

TEST(Panels, Int8HoldsFourBytesOfEachColumnTogether) {
  BlockQ8_0 block = {.scale = 0x1234, .q = {}};
  for (int i = 0; i < 32; ++i) block.q[i] = static_cast<int8_t>(i * 7 - 120);
  for (const int64_t column : {0, 3, 15}) {
    std::vector<int8_t> q(kPanelTile, 77);
    std::vector<uint16_t> scale(kPanelColumns, 77);
    SetInt8Column(block, column, q.data(), scale.data());
    for (int64_t i = 0; i < kPanelTile; ++i) {
      const int64_t k = i / 64 * 4 + i % 4;  // [8][16 columns][4]
      const bool ours = i / 4 % 16 == column;
      EXPECT_EQ(q[static_cast<size_t>(i)], ours ? block.q[k] : 77) << i;
    }
    for (int64_t c = 0; c < kPanelColumns; ++c) {
      EXPECT_EQ(scale[static_cast<size_t>(c)], c == column ? 0x1234 : 77);
    }
  }
}

TEST(Panels, Bf16HoldsALineOfEachColumnAndMinusZeroBehindK) {
  const std::vector<uint16_t> values(32, 0x3f80);
  for (const int64_t count : {1, 31, 32}) {
    std::vector<uint16_t> tile(kPanelTile, 7);
    SetBf16Column(values.data(), count, 5, tile.data());
    for (int64_t i = 0; i < kPanelTile; ++i) {
      const int expected = i / 32 != 5 ? 7 : i % 32 < count ? 0x3f80 : 0x8000;
      EXPECT_EQ(tile[static_cast<size_t>(i)], expected) << i;
    }
  }
}

// The order of panels and groups: what a product with one column and one group set reads.
TEST(Panels, AtFindsPanelAndGroup) {
  std::vector<int8_t> q(4096);
  std::vector<uint16_t> scale(4096);
  const Int8Panels all = {q.data(), scale.data()};
  EXPECT_EQ(all.At(2, 1, 96).q - q.data(), (2 * 3 + 1) * 512);
  EXPECT_EQ(all.At(2, 1, 96).scale - scale.data(), (2 * 3 + 1) * 16);
}

}  // namespace
}  // namespace gyrator

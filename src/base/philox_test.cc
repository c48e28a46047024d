#include "base/philox.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

// Known answers of the authors' Random123 library.
TEST(Philox, KnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ((Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}),
            Philox4x32({0, 0, 0, 0}, {0, 0}));
  const uint32_t ones = 0xffffffff;
  EXPECT_EQ((Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}),
            Philox4x32({ones, ones, ones, ones}, {ones, ones}));
  EXPECT_EQ((Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}),
            Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}));
}

TEST(PhiloxStream, ContinuesFromItsPosition) {
  PhiloxStream whole(42, 0);
  for (int i = 0; i < 5; ++i) whole.NextUniform();
  PhiloxStream resumed(42, 5);
  EXPECT_EQ(whole.NextUniform(), resumed.NextUniform());
  EXPECT_EQ(6u, resumed.draws());
  EXPECT_NE(PhiloxStream(43, 5).NextUniform(), PhiloxStream(42, 5).NextUniform());
}

TEST(PhiloxStream, UniformInTheUnitInterval) {
  PhiloxStream stream(7, 0);
  double sum = 0;
  for (int i = 0; i < 100000; ++i) {
    const double u = stream.NextUniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
  }
  EXPECT_NEAR(0.5, sum / 100000, 0.005);
}

}  // namespace
}  // namespace gyrator

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "kernels/ops.h"

namespace gyrator {
namespace {

// Distance in representable floats.
int64_t Ulps(float a, float b) {
  const auto order = [](float x) {
    const auto bits = static_cast<int64_t>(std::bit_cast<uint32_t>(x));
    return bits & 0x80000000 ? 0x80000000 - bits : bits;
  };
  return std::abs(order(a) - order(b));
}

TEST(RopeTable, IsWithinOneUlpOfTheLibraryUpTo131072) {
  std::vector<float> inv_freq;
  for (int i = 0; i < 32; ++i) {
    inv_freq.push_back(static_cast<float>(1.0 / std::pow(500000.0, 2.0 * i / 64.0)));
  }
  std::vector<float> cos(32), sin(32);
  int64_t different = 0;
  for (Position p = 0; p <= 131072; p += p < 4096 ? 1 : 37) {
    RopeTable(p, inv_freq, 1.0f, cos.data(), sin.data());
    for (size_t i = 0; i < 32; ++i) {
      const double angle = static_cast<float>(p) * inv_freq[i];
      ASSERT_LE(Ulps(cos[i], static_cast<float>(std::cos(angle))), 1) << p << " " << i;
      ASSERT_LE(Ulps(sin[i], static_cast<float>(std::sin(angle))), 1) << p << " " << i;
      different += cos[i] != static_cast<float>(std::cos(angle));
    }
  }
  EXPECT_LE(different, 2);  // double precision: nearly all are correctly rounded
}

TEST(RopeTable, HoldsNearMultiplesOfHalfPiAndForLargeAngles) {
  for (float angle : {1.57079637f, 3.14159274f, 6.28318548f, 355.0f, 103993.0f, 1e6f, 2.1e9f}) {
    float cos = 0, sin = 0;
    RopeTable(1, {&angle, 1}, 1.0f, &cos, &sin);
    EXPECT_LE(Ulps(cos, static_cast<float>(std::cos(static_cast<double>(angle)))), 1) << angle;
    EXPECT_LE(Ulps(sin, static_cast<float>(std::sin(static_cast<double>(angle)))), 1) << angle;
  }
}

TEST(RopeTable, PositionZeroIsTheScale) {
  const std::vector<float> inv_freq = {1.0f, 0.5f};
  float cos[2], sin[2];
  RopeTable(0, inv_freq, 1.25f, cos, sin);
  EXPECT_EQ(cos[0], 1.25f);
  EXPECT_EQ(cos[1], 1.25f);
  EXPECT_EQ(sin[0], 0.0f);
}

TEST(RopeTable, ANegativePositionTurnsTheOtherWay) {
  const std::vector<float> inv_freq = {1.0f, 0.731f, 1e-4f};
  for (Position p = 1; p < 70000; p += 613) {
    float up_cos[3], up_sin[3], down_cos[3], down_sin[3];
    RopeTable(p, inv_freq, 1.0f, up_cos, up_sin);
    RopeTable(-p, inv_freq, 1.0f, down_cos, down_sin);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(up_cos[i], down_cos[i]) << p;
      EXPECT_EQ(up_sin[i], -down_sin[i]) << p;
    }
  }
}

}  // namespace
}  // namespace gyrator

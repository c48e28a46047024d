#include "tensor/dtype.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <cmath>
#include <limits>

#include "tensor/tensor_view.h"

namespace gyrator {
namespace {

// The CPU's own conversions are the oracle.
__attribute__((target("f16c"))) float CpuWiden(uint16_t half) {
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}
__attribute__((target("f16c"))) uint16_t CpuNarrow(float value) {
  const __m128i halves = _mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT);
  return static_cast<uint16_t>(_mm_cvtsi128_si32(halves));
}
bool CpuHasHalves() { return __builtin_cpu_supports("avx2"); }  // no CPU has it without F16C

TEST(F16, EveryHalfWidensAsTheCpuDoes) {
  ASSERT_TRUE(CpuHasHalves());
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float expected = CpuWiden(static_cast<uint16_t>(bits));
    const float got = F16ToF32(static_cast<uint16_t>(bits));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got)) << bits;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(expected), std::bit_cast<uint32_t>(got)) << bits;
    }
  }
}

TEST(F16, NarrowsAsTheCpuDoes) {
  ASSERT_TRUE(CpuHasHalves());
  uint32_t state = 12345;
  for (int i = 0; i < 2'000'000; ++i) {
    state = state * 1664525u + 1013904223u;
    // Exponents near the half range are drawn more often.
    const uint32_t exponent = 96 + (state >> 8) % 52;
    const uint32_t bits = (state & 0x807fe000u) | (exponent << 23) | ((state >> 3) & 0x1fffu);
    const float value = std::bit_cast<float>(bits);
    ASSERT_EQ(CpuNarrow(value), F32ToF16(value)) << std::hexfloat << value;
  }
}

TEST(BF16, RoundsToNearestEvenAndFlushesDenormals) {
  EXPECT_EQ(0x3f80, F32ToBF16(1.0f));
  EXPECT_EQ(0x3f80, F32ToBF16(std::bit_cast<float>(0x3f808000u)));  // tie to even
  EXPECT_EQ(0x3f82, F32ToBF16(std::bit_cast<float>(0x3f818000u)));
  EXPECT_EQ(0x3f81, F32ToBF16(std::bit_cast<float>(0x3f808001u)));
  EXPECT_EQ(0x8000, F32ToBF16(-std::numeric_limits<float>::denorm_min()));
  EXPECT_EQ(0x7f80, F32ToBF16(std::numeric_limits<float>::max()));
  EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(TensorView, SizesRefuseOverflowAndBrokenBlocks) {
  EXPECT_EQ(24u, TensorBytes(DType::kF32, {2, 3}));
  EXPECT_EQ(4u, TensorBytes(DType::kF32, {}));
  EXPECT_EQ(68u, TensorBytes(DType::kQ8_0, {2, 32}));
  EXPECT_FALSE(TensorBytes(DType::kQ8_0, {2, 33}));
  EXPECT_FALSE(TensorBytes(DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}));
  EXPECT_FALSE(TensorBytes(DType::kF64, {int64_t{1} << 62, 2}));
  EXPECT_FALSE(TensorBytes(DType::kF32, {-1}));
}

}  // namespace
}  // namespace gyrator

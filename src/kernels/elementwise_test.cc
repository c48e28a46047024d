#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/exp.h"
#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

class Elementwise : public OpsTest {};
INSTANTIATE_TEST_SUITE_P(All, Elementwise, testing::ValuesIn(TestedOps()), OpsTestName);

TEST_P(Elementwise, RoundBf16EqualsTheScalarDefinition) {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (1ull << 32); bits += 40009) {
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  }
  for (uint32_t bits :
       {0x7f800000u, 0xff800000u, 0x7f800001u, 0xffc00000u, 0x007fffffu, 0x00800000u, 0x3f808000u,
        0x3f818000u, 0x7f7fffffu, 0x80000001u, 0x807fffffu}) {
    x.push_back(std::bit_cast<float>(bits));
  }
  std::vector<uint16_t> y(x.size());
  ops().round_bf16(x.data(), y.data(), static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(y[i], F32ToBF16(x[i])) << std::hex << std::bit_cast<uint32_t>(x[i]);
  }
  for (size_t count = 0; count <= 40; ++count) {  // nothing behind the end is written
    std::vector<uint16_t> some(41, 0xabcd);
    ops().round_bf16(x.data() + 90000, some.data(), static_cast<int64_t>(count));
    for (size_t i = 0; i < some.size(); ++i) {
      ASSERT_EQ(some[i], i < count ? F32ToBF16(x[90000 + i]) : 0xabcd);
    }
  }
}

TEST_P(Elementwise, QuantizeEqualsTheReference) {
  std::vector<float> x = RandomFloats(32 * 500, 3);
  for (size_t g = 0; g < 500; ++g) {
    const float factor = std::pow(10.0f, static_cast<float>(g % 77) - 40.0f);
    for (size_t i = 0; i < 32; ++i) x[g * 32 + i] *= g % 81 == 80 ? 0.0f : factor;
  }
  for (size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i) - 15.5f;  // ties to even
  x[0] = 127.0f;
  std::vector<int8_t> q(x.size()), expected_q(x.size());
  std::vector<float> scale(x.size() / 32), expected_scale(x.size() / 32);
  std::vector<int32_t> start(x.size() / 32);
  const auto count = static_cast<int64_t>(x.size());
  ASSERT_TRUE(RefOps().quantize(x.data(), {expected_q.data(), expected_scale.data()}, count));
  ASSERT_TRUE(ops().quantize(x.data(), {q.data(), scale.data(), start.data()}, count));
  for (size_t g = 0; g < start.size(); ++g) {
    EXPECT_EQ(start[g], -128 * std::accumulate(&q[g * 32], &q[g * 32] + 32, 0)) << g;
  }
  EXPECT_EQ(q, expected_q);
  EXPECT_TRUE(SameBits(scale, expected_scale));
  EXPECT_EQ(std::count(q.begin(), q.end(), int8_t{-128}), 0);
  EXPECT_EQ(q[16], 0);  // 0.5
  EXPECT_EQ(q[17], 2);  // 1.5
}

TEST_P(Elementwise, QuantizeRefusesWhatIsNotFinite) {
  for (float bad : {NAN, -NAN, kInf, -kInf}) {
    for (size_t at = 0; at < 64; ++at) {
      std::vector<float> x = RandomFloats(64, 1);
      x[at] = bad;
      int8_t q[64];
      float scale[2];
      EXPECT_FALSE(ops().quantize(x.data(), {q, scale}, 64)) << at;
    }
  }
}

TEST_P(Elementwise, QuantizedZerosAndDenormalsHaveScaleZero) {
  for (float value : {0.0f, -0.0f, 1e-40f, -1e-39f, 1e-37f}) {
    std::vector<float> x(32, value);
    std::vector<int8_t> q(32, 55);
    float scale = 1.0f;
    ASSERT_TRUE(ops().quantize(x.data(), {q.data(), &scale}, 32));
    EXPECT_EQ(std::bit_cast<uint32_t>(scale), 0u) << value;
    EXPECT_EQ(q, std::vector<int8_t>(32, 0)) << value;
  }
}

TEST_P(Elementwise, RmsNormEqualsTheReference) {
  for (size_t dim = 1; dim <= 70; ++dim) {
    for (Values values : {Values::kNormal, Values::kWild}) {
      std::vector<float> x = RandomFloats(dim, 1, values), expected(dim), y(dim);
      const std::vector<float> weight = RandomFloats(dim, 2, values);
      const auto n = static_cast<int64_t>(dim);
      RefOps().rms_norm(x.data(), weight.data(), expected.data(), n, 1e-5f);
      ops().rms_norm(x.data(), weight.data(), y.data(), n, 1e-5f);
      EXPECT_TRUE(SameBits(expected, y)) << dim;
      ops().rms_norm(x.data(), weight.data(), x.data(), n, 1e-5f);
      EXPECT_TRUE(SameBits(expected, x)) << dim << ", in place";
    }
  }
}

TEST_P(Elementwise, RopeEqualsTheReference) {
  for (RopeStyle style : {RopeStyle::kHalf, RopeStyle::kInterleaved}) {
    for (int64_t head_dim = 2; head_dim <= 70; head_dim += 2) {
      for (int64_t rotary : {head_dim, (head_dim / 2 + 1) / 2 * 2}) {
        const auto cos = RandomFloats(static_cast<size_t>(rotary / 2), 1);
        const auto sin = RandomFloats(static_cast<size_t>(rotary / 2), 2);
        auto expected = RandomFloats(static_cast<size_t>(3 * head_dim), 3, Values::kWild);
        auto x = expected;
        RefOps().rope(expected.data(), 3, head_dim, rotary, cos.data(), sin.data(), style);
        ops().rope(x.data(), 3, head_dim, rotary, cos.data(), sin.data(), style);
        ASSERT_TRUE(SameBits(expected, x)) << head_dim << " " << rotary;
      }
    }
  }
}

TEST_P(Elementwise, SiluMulAndAddEqualTheReference) {
  for (size_t count = 0; count <= 70; ++count) {
    auto gate = RandomFloats(count, 1, Values::kWild);
    const float special[] = {NAN,
                             std::bit_cast<float>(0x7fc00001u),
                             std::bit_cast<float>(0xffc001ffu),
                             kInf,
                             -kInf,
                             87.3f,
                             -87.4f,
                             88.6f,
                             -88.8f,
                             200.0f,
                             -200.0f};
    for (size_t i = 0; i < count; ++i) {
      if (i % 4 == 3) gate[i] = special[i / 4 % std::size(special)];
    }
    const auto up = RandomFloats(count, 2, Values::kWild);
    std::vector<float> expected(count + 1, 3.0f), y(count + 1, 3.0f);
    const auto n = static_cast<int64_t>(count);
    RefOps().silu_mul(gate.data(), up.data(), expected.data(), n);
    ops().silu_mul(gate.data(), up.data(), y.data(), n);
    EXPECT_TRUE(SameBits(expected, y)) << count;
    RefOps().add(expected.data(), up.data(), n);
    ops().add(y.data(), up.data(), n);
    EXPECT_TRUE(SameBits(expected, y)) << count;
  }
}

// exp is seen through silu: gate = -x, up = 1 gives -x / (1 + exp(x)).
TEST_P(Elementwise, ExpEqualsTheReferenceOverItsRange) {
  std::vector<float> gate;
  for (float x = -90.0f; x < 90.0f; x += 0.00137f) gate.push_back(x);
  const std::vector<float> up(gate.size(), 1.0f);
  std::vector<float> expected(gate.size()), y(gate.size());
  const auto n = static_cast<int64_t>(gate.size());
  RefOps().silu_mul(gate.data(), up.data(), expected.data(), n);
  ops().silu_mul(gate.data(), up.data(), y.data(), n);
  EXPECT_TRUE(SameBits(expected, y));
}

TEST(Exp, IsWithinTwoUlp) {
  const FloatEnvironment environment;
  double worst = 0;
  for (float x = kExpMin; x <= kExpMax; x += 2.3e-4f) {
    const double exact = std::exp(static_cast<double>(x));
    int exponent = 0;
    std::frexp(exact, &exponent);
    const double ulp = std::ldexp(1.0, exponent - 24);
    worst = std::max(worst, std::fabs(static_cast<double>(Exp(x)) - exact) / ulp);
  }
  EXPECT_LE(worst, 2.0);
  RecordProperty("worst_ulp_x1000", static_cast<int>(worst * 1000));
}

TEST(Exp, IsDefinedOutsideItsRange) {
  const FloatEnvironment environment;
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(std::nextafter(kExpMin, -kInf)), 0.0f);
  EXPECT_EQ(Exp(-kInf), 0.0f);
  EXPECT_GT(Exp(kExpMin), 0.0f);
  EXPECT_EQ(Exp(std::nextafter(kExpMax, kInf)), kInf);
  EXPECT_EQ(Exp(kInf), kInf);
  EXPECT_LT(Exp(kExpMax), kInf);
  EXPECT_TRUE(std::isnan(Exp(NAN)));
  EXPECT_TRUE(std::isnan(Exp(std::bit_cast<float>(0x7fc00001u))));  // its payload reaches the shift
}

}  // namespace
}  // namespace gyrator

#include "kernels/bf16_operand.h"

#include <algorithm>

#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

class Bf16OperandTest : public OpsTest {};
INSTANTIATE_TEST_SUITE_P(All, Bf16OperandTest, testing::ValuesIn(TestedOps()), OpsTestName);

TEST_P(Bf16OperandTest, HoldsEveryRowRoundedAndNothingElse) {
  for (const Bf16Layout layout : {Bf16Layout::kRows, Bf16Layout::kTiles}) {
    Ops ops = this->ops();
    ops.bf16_layout = layout;
    for (const int64_t k : {1, 31, 32, 33, 200, 1023, 1024, 1056, 2100}) {
      constexpr int64_t kRows = 19;
      const auto x = RandomFloats(static_cast<size_t>(kRows * k), 1);
      std::vector<uint16_t> bits(x.size());
      std::transform(x.begin(), x.end(), bits.begin(), F32ToBF16);
      const std::vector<uint16_t> expected = Bf16Operand(ops, bits.data(), kRows, k);
      std::vector<uint16_t> operand(static_cast<size_t>(Bf16OperandElements(kRows, k)));
      for (int64_t row = kRows - 1; row >= 0; --row) {
        const int64_t half = k / 64 * 32;  // in two parts, the second first
        const float* at = x.data() + row * k;
        SetBf16Columns(ops, at + half, {row, half, k - half, k}, operand.data());
        SetBf16Columns(ops, at, {row, 0, half, k}, operand.data());
      }
      EXPECT_EQ(expected, operand) << k;
    }
  }
}

TEST_P(Bf16OperandTest, TilesHoldZerosBehindK) {
  Ops ops = this->ops();
  ops.bf16_layout = Bf16Layout::kTiles;
  const std::vector<float> x(40, 1.0f);
  std::vector<uint16_t> operand(static_cast<size_t>(Bf16OperandElements(1, 40)), 0x7fc0);
  SetBf16Columns(ops, x.data(), {0, 0, 40, 40}, operand.data());
  for (int64_t i = 0; i < 64; ++i) {
    EXPECT_EQ(i < 40 ? 0x3f80 : 0, operand[static_cast<size_t>(i < 32 ? i : 512 + i - 32)]) << i;
  }
}

}  // namespace
}  // namespace gyrator

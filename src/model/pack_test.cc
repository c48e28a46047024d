#include "model/pack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/ops.h"
#include "model/model_testing.h"

namespace gyrator {
namespace {

constexpr ComputeType kComputes[] = {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8};

// A matrix of f32 with its memory, and the operand that PackMatrix makes of it.
class Packed {
 public:
  Packed(int64_t rows, int64_t cols, ComputeType compute) : threads_(3) {
    for (int64_t i = 0; i < rows * cols; ++i) {
      values_.push_back(static_cast<float>(i * 7919 % 2003 - 1001) / 1001.0f);
    }
    const TensorView view = {DType::kF32, {rows, cols}, std::as_bytes(std::span(values_))};
    matrix_.source = PlanConversion(view, OperandDType(compute), &threads_);
    matrix_.rows = rows;
    matrix_.cols = cols;
    bytes_ = *OperandBytes(compute, rows, cols);
    operand_ = *AllocateAligned(bytes_ + kCacheLine, "test");
    std::memset(operand_.get(), 0x5a, bytes_ + kCacheLine);
    matrix_.operand = operand_.get();
  }

  ConversionFault Pack() { return PackMatrix(matrix_, operand_.get(), &threads_); }
  ConversionFault TryPack() { return TryPackMatrix(matrix_, &threads_); }
  bool EndIsUntouched() const {
    for (uint64_t i = bytes_; i < bytes_ + kCacheLine; ++i) {
      if (operand_[i] != std::byte{0x5a}) return false;
    }
    return true;
  }
  // What the rows become without a layout.
  std::vector<float> Expected() {
    const FloatEnvironment environment;
    const auto count = matrix_.rows * matrix_.cols;
    std::vector<std::byte> converted(*TensorBytes(matrix_.source.to, {count}));
    EXPECT_EQ(ConversionFault::kNone, ConvertAll(matrix_.source, converted.data(), &threads_));
    std::vector<float> wide(static_cast<size_t>(count));
    Widen(matrix_.source.to, converted.data(), 0, count, wide.data());
    return wide;
  }

  const Matrix& matrix() const { return matrix_; }
  std::vector<float>& values() { return values_; }
  const std::byte* operand() const { return operand_.get(); }
  uint64_t bytes() const { return bytes_; }

 private:
  ThreadPool threads_;
  std::vector<float> values_;
  Matrix matrix_;
  uint64_t bytes_ = 0;
  AlignedBuffer operand_;
};

TEST(Pack, EveryValueLiesWhereThePanelsSay) {
  for (const ComputeType compute : kComputes) {
    for (const int64_t rows : {1, 15, 16, 17, 50}) {
      for (const int64_t cols : {32, 64, 544, 1056}) {
        Packed packed(rows, cols, compute);
        ASSERT_EQ(ConversionFault::kNone, packed.Pack());
        EXPECT_TRUE(SameBits(OperandValues(packed.matrix(), compute), packed.Expected()))
            << ComputeTypeName(compute) << " " << rows << " x " << cols;
        EXPECT_TRUE(packed.EndIsUntouched());
      }
    }
  }
  for (const int64_t cols : {1, 31, 33, 700}) {  // no whole groups
    for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16}) {
      Packed packed(18, cols, compute);
      ASSERT_EQ(ConversionFault::kNone, packed.Pack());
      EXPECT_TRUE(SameBits(OperandValues(packed.matrix(), compute), packed.Expected())) << cols;
      EXPECT_TRUE(packed.EndIsUntouched());
    }
  }
}

// What a kernel reads beside the values must not be what was in the memory before.
TEST(Pack, ColumnsThatThePanelLacksAreZeros) {
  Packed bf16(17, 33, ComputeType::kBF16);
  ASSERT_EQ(ConversionFault::kNone, bf16.Pack());
  const auto* tiles = reinterpret_cast<const uint16_t*>(bf16.operand());
  for (uint64_t i = 0; i < bf16.bytes() / 2; ++i) {
    const uint64_t column = i / 1024 * 16 + i / 32 % 16, k = i / 512 % 2 * 32 + i % 32;
    if (column >= 17) {
      EXPECT_EQ(tiles[i], 0) << i;
    } else if (k >= 33) {
      EXPECT_EQ(tiles[i], 0x8000) << i;
    }
  }
  Packed int8(17, 64, ComputeType::kInt8);
  ASSERT_EQ(ConversionFault::kNone, int8.Pack());
  const Int8Panels panels = Int8WeightsAt({int8.operand(), 17, 64}, 16);
  for (int64_t i = 0; i < 1024; ++i) EXPECT_TRUE(panels.q[i] == 0 || i / 4 % 16 == 0) << i;
  for (int64_t i = 0; i < 32; ++i) EXPECT_EQ(panels.scale[i] == 0, i % 16 != 0) << i;
}

TEST(Pack, RowsPackedAloneHoldTheirValues) {
  for (const ComputeType compute : kComputes) {
    Packed all(50, 544, compute);
    const std::vector<float> values = all.Expected();
    for (const auto& [first, count] : {std::pair(0, 16), {16, 33}, {32, 18}}) {
      std::vector<std::byte> operand(*OperandBytes(compute, count, 544));
      const FloatEnvironment environment;
      ASSERT_EQ(ConversionFault::kNone, PackRows(all.matrix(), first, count, operand.data()));
      const Matrix alone = {.source = {}, .rows = count, .cols = 544, .operand = operand.data()};
      const auto expected = std::span(values).subspan(static_cast<size_t>(first) * 544,
                                                      static_cast<size_t>(count) * 544);
      EXPECT_TRUE(SameBits(OperandValues(alone, compute), expected))
          << ComputeTypeName(compute) << " " << first << " " << count;
    }
  }
}

TEST(Pack, OneBadValueIsAFaultWhereverItLies) {
  for (const size_t at : {size_t{0}, size_t{511}, size_t{17 * 544 - 1}}) {
    Packed packed(17, 544, ComputeType::kInt8);
    EXPECT_EQ(ConversionFault::kNone, packed.TryPack());
    packed.values()[at] = INFINITY;
    EXPECT_EQ(ConversionFault::kValue, packed.Pack()) << at;
    EXPECT_EQ(ConversionFault::kValue, packed.TryPack()) << at;
  }
}

TEST(Pack, SizesThatNoMachineHasAreTold) {
  EXPECT_EQ(OperandBytes(ComputeType::kInt8, INT64_MAX / 2, 4096), std::nullopt);
  EXPECT_EQ(OperandBytes(ComputeType::kF32, 1 << 30, 1 << 30), std::nullopt);
  EXPECT_EQ(OperandBytes(ComputeType::kInt8, 17, 64), 2u * 16 * 64 + 2 * 16 * 2 * 2);
  EXPECT_EQ(OperandBytes(ComputeType::kBF16, 17, 33), 2u * 2 * 512 * 2);
}

}  // namespace
}  // namespace gyrator

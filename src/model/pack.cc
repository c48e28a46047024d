#include "model/pack.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/aligned_buffer.h"
#include "kernels/ops.h"
#include "model/convert.h"

namespace gyrator {

namespace {

uint64_t RoundUp(uint64_t bytes) { return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine; }

uint64_t Int8Bytes(int64_t rows, int64_t cols) {  // of q
  return static_cast<uint64_t>(NumPanels(rows) * kPanelColumns * cols);
}

// The operand of one matrix; each panel is made by one thread, a part of k at a time.
class Packer {
 public:
  Packer(const Matrix& matrix, ComputeType compute, std::byte* operand)
      : matrix_(matrix), compute_(compute), operand_(operand) {}

  // False as PackMatrix.
  bool PackPanel(int64_t panel) const {
    const int64_t first = panel * kPanelColumns;
    const int64_t count = std::min(kPanelColumns, matrix_.rows - first);
    if (count < kPanelColumns) ClearPanel(panel);
    bool ok = true;
    for (int64_t at = 0; at < matrix_.cols; at += kPart) {
      const int64_t some = std::min(kPart, matrix_.cols - at);
      for (int64_t row = first; row < first + count; ++row) {
        ok = PackPart(row, at, some) && ok;
      }
    }
    return ok;
  }

 private:
  static constexpr int64_t kPart = 512;  // values: a panel's part stays in the first cache

  void ClearPanel(int64_t panel) const {
    const int64_t groups = NumPanelGroups(matrix_.cols);
    if (compute_ == ComputeType::kBF16) {
      std::fill_n(Bf16() + panel * groups * kPanelTile, groups * kPanelTile, uint16_t{0});
    } else if (compute_ == ComputeType::kInt8) {
      std::fill_n(Int8().q + panel * groups * kPanelTile, groups * kPanelTile, int8_t{0});
      std::fill_n(Int8().scale + panel * groups * kPanelColumns, groups * kPanelColumns,
                  uint16_t{0});
    }
  }

  bool PackPart(int64_t row, int64_t at, int64_t count) const {
    if (compute_ == ComputeType::kInt8 && matrix_.stored == DType::kQ8_0) {
      PackStoredBlocks(row, at, count);
      return true;
    }
    float values[kPart];
    Widen(matrix_.stored, matrix_.bytes, row * matrix_.cols + at, count, values);
    switch (compute_) {
      case ComputeType::kF32:
        std::copy_n(values, count,
                    reinterpret_cast<float*>(operand_) + row * matrix_.cols + at);
        return true;
      case ComputeType::kBF16:
        PackBf16(row, at, count, values);
        return true;
      case ComputeType::kInt8:
        return PackInt8(row, at, count, values);
    }
    return false;
  }

  void PackBf16(int64_t row, int64_t at, int64_t count, const float* values) const {
    uint16_t rounded[kPart];
    std::transform(values, values + count, rounded, F32ToBF16);
    for (int64_t i = 0; i < count; i += kPanelGroup) {
      SetBf16Column(rounded + i, std::min(kPanelGroup, count - i), row % kPanelColumns,
                    Bf16() + GroupOf(row, at + i) * kPanelTile);
    }
  }

  bool PackInt8(int64_t row, int64_t at, int64_t count, const float* values) const {
    bool ok = true;
    for (int64_t i = 0; i < count; i += kPanelGroup) {
      BlockQ8_0 block;
      ok = QuantizeQ8_0(values + i, &block) && ok;
      SetBlock(row, at + i, block);
    }
    return ok;
  }

  void PackStoredBlocks(int64_t row, int64_t at, int64_t count) const {
    for (int64_t i = 0; i < count; i += kPanelGroup) {
      BlockQ8_0 block;
      const int64_t index = (row * matrix_.cols + at + i) / kPanelGroup;
      std::memcpy(&block, matrix_.bytes + index * int64_t{sizeof(block)}, sizeof(block));
      SetBlock(row, at + i, block);
    }
  }

  void SetBlock(int64_t row, int64_t at, const BlockQ8_0& block) const {
    const int64_t group = GroupOf(row, at);
    SetInt8Column(block, row % kPanelColumns, Int8().q + group * kPanelTile,
                  Int8().scale + group * kPanelColumns);
  }

  int64_t GroupOf(int64_t row, int64_t at) const {
    return row / kPanelColumns * NumPanelGroups(matrix_.cols) + at / kPanelGroup;
  }
  uint16_t* Bf16() const { return reinterpret_cast<uint16_t*>(operand_); }
  struct Int8Memory {
    int8_t* q;
    uint16_t* scale;
  };
  Int8Memory Int8() const {
    return {reinterpret_cast<int8_t*>(operand_),
            reinterpret_cast<uint16_t*>(operand_ + Int8Bytes(matrix_.rows, matrix_.cols))};
  }

  const Matrix& matrix_;
  const ComputeType compute_;
  std::byte* const operand_;
};

}  // namespace

std::optional<uint64_t> OperandBytes(ComputeType compute, int64_t rows, int64_t cols) {
  constexpr int64_t kMax = int64_t{1} << 40;  // elements; the memory of no machine
  int64_t elements = 0;
  if (__builtin_mul_overflow(rows + kPanelColumns, cols + kPanelGroup, &elements) ||
      elements > kMax) {
    return std::nullopt;
  }
  switch (compute) {
    case ComputeType::kF32:
      return RoundUp(static_cast<uint64_t>(rows * cols) * sizeof(float));
    case ComputeType::kBF16:
      return static_cast<uint64_t>(NumPanels(rows) * NumPanelGroups(cols) * kPanelTile) *
             sizeof(uint16_t);
    case ComputeType::kInt8:
      return RoundUp(Int8Bytes(rows, cols) + Int8Bytes(rows, cols) / kPanelGroup * sizeof(uint16_t));
  }
  return std::nullopt;
}

bool IsOperand(const Matrix& matrix, ComputeType compute) {
  return compute == ComputeType::kF32 && matrix.stored == DType::kF32 &&
         reinterpret_cast<uintptr_t>(matrix.bytes) % alignof(float) == 0;
}

bool PackMatrix(const Matrix& matrix, ComputeType compute, std::byte* operand,
                ThreadPool* threads) {
  const Packer packer(matrix, compute, operand);
  std::atomic<bool> ok{true};
  threads->ParallelFor(NumPanels(matrix.rows), 1, [&](int64_t begin, int64_t end) {
    const FloatEnvironment environment;
    for (int64_t panel = begin; panel < end; ++panel) {
      if (!packer.PackPanel(panel)) ok.store(false, std::memory_order_relaxed);
    }
  });
  return ok.load(std::memory_order_relaxed);
}

const float* F32WeightsAt(const Matrix& matrix, int64_t column) {
  return reinterpret_cast<const float*>(matrix.operand) + column * matrix.cols;
}

const uint16_t* Bf16WeightsAt(const Matrix& matrix, int64_t column) {
  return reinterpret_cast<const uint16_t*>(matrix.operand) +
         column / kPanelColumns * NumPanelGroups(matrix.cols) * kPanelTile;
}

Int8Panels Int8WeightsAt(const Matrix& matrix, int64_t column) {
  const std::byte* const scale = matrix.operand + Int8Bytes(matrix.rows, matrix.cols);
  const Int8Panels all = {reinterpret_cast<const int8_t*>(matrix.operand),
                          reinterpret_cast<const uint16_t*>(scale)};
  return all.At(column / kPanelColumns, 0, matrix.cols);
}

}  // namespace gyrator

#include "model/pack.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/ops.h"

namespace gyrator {

namespace {

uint64_t RoundUp(uint64_t bytes) { return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine; }

uint64_t Int8Bytes(int64_t rows, int64_t cols) {  // of q
  return static_cast<uint64_t>(NumPanels(rows) * kPanelColumns * cols);
}

// The operand of some rows of a matrix; each panel is made by one thread, a part of k at a time.
class Packer {
 public:
  Packer(const Matrix& matrix, int64_t first, int64_t rows, std::byte* operand)
      : matrix_(matrix), first_(first), rows_(rows), operand_(operand) {}

  ConversionFault PackPanel(int64_t panel) const {
    const int64_t first = panel * kPanelColumns;
    const int64_t count = std::min(kPanelColumns, rows_ - first);
    if (count < kPanelColumns) ClearPanel(panel);
    for (int64_t at = 0; at < matrix_.cols; at += kPart) {
      const int64_t some = std::min(kPart, matrix_.cols - at);
      for (int64_t row = first; row < first + count; ++row) {
        const ConversionFault fault = PackPart(row, at, some);
        if (fault != ConversionFault::kNone) return fault;
      }
    }
    return ConversionFault::kNone;
  }

 private:
  static constexpr int64_t kPart = 512;  // values: a panel's part stays in the first cache

  // The columns that a last panel lacks.
  void ClearPanel(int64_t panel) const {
    const int64_t groups = NumPanelGroups(matrix_.cols);
    const int64_t group = panel * groups;
    if (matrix_.source.to == DType::kBF16) {
      std::fill_n(Bf16() + group * kPanelTile, groups * kPanelTile, uint16_t{0});
    } else if (matrix_.source.to == DType::kQ8_0) {
      std::fill_n(Int8().q + group * kPanelTile, groups * kPanelTile, int8_t{0});
      std::fill_n(Int8().scale + group * kPanelColumns, groups * kPanelColumns, uint16_t{0});
    }
  }

  // `count` values of a row, from column `at` on.
  ConversionFault PackPart(int64_t row, int64_t at, int64_t count) const {
    alignas(float) std::byte converted[kPart * sizeof(float)];
    const ConversionFault fault =
        ConvertRange(matrix_.source, (first_ + row) * matrix_.cols + at, count, converted);
    if (fault != ConversionFault::kNone) return fault;
    if (matrix_.source.to == DType::kF32) {
      std::memcpy(operand_ + (row * matrix_.cols + at) * int64_t{sizeof(float)}, converted,
                  static_cast<size_t>(count) * sizeof(float));
      return fault;
    }
    for (int64_t i = 0; i < count; i += kPanelGroup) {
      const int64_t group =
          row / kPanelColumns * NumPanelGroups(matrix_.cols) + (at + i) / kPanelGroup;
      if (matrix_.source.to == DType::kBF16) {
        SetBf16Column(reinterpret_cast<const uint16_t*>(converted) + i,
                      std::min(kPanelGroup, count - i), row % kPanelColumns,
                      Bf16() + group * kPanelTile);
      } else {
        SetInt8Column(reinterpret_cast<const BlockQ8_0*>(converted)[i / kPanelGroup],
                      row % kPanelColumns, Int8().q + group * kPanelTile,
                      Int8().scale + group * kPanelColumns);
      }
    }
    return fault;
  }

  uint16_t* Bf16() const { return reinterpret_cast<uint16_t*>(operand_); }
  struct Int8Memory {
    int8_t* q;
    uint16_t* scale;
  };
  Int8Memory Int8() const {
    return {reinterpret_cast<int8_t*>(operand_),
            reinterpret_cast<uint16_t*>(operand_ + Int8Bytes(rows_, matrix_.cols))};
  }

  const Matrix& matrix_;
  const int64_t first_;  // row of the matrix
  const int64_t rows_;
  std::byte* const operand_;
};

// fault = body(panel) for every panel of `matrix`, on all threads: the last fault, if any.
template <class Body>
ConversionFault ForEachPanel(const Matrix& matrix, ThreadPool* threads, const Body& body) {
  std::atomic<ConversionFault> fault{ConversionFault::kNone};
  threads->ParallelFor(NumPanels(matrix.rows), 1, [&](int64_t begin, int64_t end) {
    const FloatEnvironment environment;
    for (int64_t panel = begin; panel < end; ++panel) {
      const ConversionFault found = body(panel);
      if (found != ConversionFault::kNone) fault.store(found, std::memory_order_relaxed);
    }
  });
  return fault.load(std::memory_order_relaxed);
}

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
      return RoundUp(Int8Bytes(rows, cols) +
                     Int8Bytes(rows, cols) / kPanelGroup * sizeof(uint16_t));
  }
  return std::nullopt;
}

bool IsOperand(const TensorView& stored, ComputeType compute) {
  return compute == ComputeType::kF32 && stored.dtype == DType::kF32 &&
         reinterpret_cast<uintptr_t>(stored.bytes.data()) % alignof(float) == 0;
}

ConversionFault PackMatrix(const Matrix& matrix, std::byte* operand, ThreadPool* threads) {
  const Packer packer(matrix, 0, matrix.rows, operand);
  return ForEachPanel(matrix, threads, [&](int64_t panel) { return packer.PackPanel(panel); });
}

ConversionFault PackRows(const Matrix& matrix, int64_t first, int64_t count, std::byte* operand) {
  const Packer packer(matrix, first, count, operand);
  for (int64_t panel = 0; panel < NumPanels(count); ++panel) {
    const ConversionFault fault = packer.PackPanel(panel);
    if (fault != ConversionFault::kNone) return fault;
  }
  return ConversionFault::kNone;
}

ConversionFault TryPackMatrix(const Matrix& matrix, ThreadPool* threads) {
  const auto panel_bytes =
      static_cast<size_t>(kPanelColumns * (matrix.cols + kPanelGroup)) * sizeof(float);
  std::vector<std::vector<std::byte>> panels(static_cast<size_t>(threads->num_threads()),
                                             std::vector<std::byte>(panel_bytes));
  return ForEachPanel(matrix, threads, [&](int64_t panel) {
    const int64_t first = panel * kPanelColumns;
    return PackRows(matrix, first, std::min(kPanelColumns, matrix.rows - first),
                    panels[static_cast<size_t>(ThreadPool::ThisThread())].data());
  });
}

const float* F32WeightsAt(const PackedRows& packed, int64_t column) {
  return reinterpret_cast<const float*>(packed.operand) + column * packed.cols;
}

const uint16_t* Bf16WeightsAt(const PackedRows& packed, int64_t column) {
  return reinterpret_cast<const uint16_t*>(packed.operand) +
         column / kPanelColumns * NumPanelGroups(packed.cols) * kPanelTile;
}

Int8Panels Int8WeightsAt(const PackedRows& packed, int64_t column) {
  const std::byte* const scale = packed.operand + Int8Bytes(packed.rows, packed.cols);
  const Int8Panels all = {reinterpret_cast<const int8_t*>(packed.operand),
                          reinterpret_cast<const uint16_t*>(scale)};
  return all.At(column / kPanelColumns, 0, packed.cols);
}

}  // namespace gyrator

// The left side of a product: rows of activations in the numbers that the compute type multiplies.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gyrator/types.h"
#include "kernels/ops.h"
#include "model/pack.h"
#include "model/weights.h"

namespace gyrator {

struct Columns {
  int64_t begin = 0;
  int64_t count = 0;
};

// Where results go: y[row * stride + column].
struct Results {
  float* y = nullptr;
  int64_t stride = 0;
};

// A view of memory that its owner keeps. Rows, and groups of 32 columns of a row, may be set by
// different threads at once.
class Operand {
 public:
  // Bytes for `rows` rows of up to `cols_max` columns: a multiple of the cache line.
  static uint64_t Bytes(ComputeType compute, int64_t rows, int64_t cols_max);

  Operand() = default;
  // `memory`: Bytes(compute, rows, cols_max), aligned to the cache line.
  Operand(ComputeType compute, std::byte* memory, int64_t rows, int64_t cols_max);

  // What Set and Multiply take from now on: `rows` rows of `cols`, none of them set yet.
  void Reshape(int64_t rows, int64_t cols);
  int64_t rows() const { return rows_; }

  // These columns of row `row` from x [columns.count]. False when an input is not finite and the
  // compute type is int8. REQUIRES begin % 32 == 0; count % 32 == 0 or the last column among them.
  bool Set(const Ops& ops, const float* x, int64_t row, Columns columns);

  // Row r times row columns.begin + i of w goes to row r, column i. REQUIRES columns.begin % 16 ==
  // 0. Rows of w that are only stored are packed into `scratch` [ScratchBytes] on the way; it may
  // be null when w is packed. False when they cannot be packed, which their file has changed for:
  // LoadWeights tried each; the results are then undefined.
  [[nodiscard]] bool Multiply(const Ops& ops, const Matrix& w, Columns columns,
                              const Results& results, std::byte* scratch) const;
  // For matrices of up to `cols_max` columns: a multiple of the cache line.
  static uint64_t ScratchBytes(ComputeType compute, int64_t cols_max);

 private:
  void MultiplyPacked(const Ops& ops, const PackedRows& w, Columns columns,
                      const Results& results) const;

  ComputeType compute_ = ComputeType::kF32;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  float* f32_ = nullptr;  // [rows, cols]
  uint16_t* bf16_ = nullptr;
  int8_t* int8_ = nullptr;    // [rows, cols]
  float* scale_ = nullptr;    // [rows, cols / 32]
  int32_t* start_ = nullptr;  // likewise
};

}  // namespace gyrator

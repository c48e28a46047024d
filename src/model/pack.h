// From a stored matrix to the right operand of products, in the layout that the kernels read
// (kernels/panels.h). Internal to model/.
#pragma once

#include <cstdint>
#include <optional>

#include "base/thread_pool.h"
#include "gyrator/types.h"
#include "kernels/panels.h"
#include "model/convert.h"
#include "model/weights.h"
#include "tensor/tensor_view.h"

namespace gyrator {

// Bytes of the operand of `rows` x `cols` weights, a multiple of the cache line; nullopt when they
// overflow. f32: [rows, cols]; bf16: panels; int8: the q of all panels, then their scales.
std::optional<uint64_t> OperandBytes(ComputeType compute, int64_t rows, int64_t cols);

// Whether the stored bytes are the operand: f32 that lies at a multiple of 4.
bool IsOperand(const TensorView& stored, ComputeType compute);

// Packs all of `matrix` into `operand` [OperandBytes], on all threads. The operand is unspecified
// after a fault.
ConversionFault PackMatrix(const Matrix& matrix, std::byte* operand, ThreadPool* threads);

// Packs the rows first .. first + count - 1 as if the matrix had no others, on this thread, under
// FloatEnvironment.
ConversionFault PackRows(const Matrix& matrix, int64_t first, int64_t count, std::byte* operand);

// What PackMatrix would return: packs every row into memory that is then let go.
ConversionFault TryPackMatrix(const Matrix& matrix, ThreadPool* threads);

// An operand: that of a matrix, or of some of its rows.
struct PackedRows {
  const std::byte* operand = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
};

// The operand from column `column` on. REQUIRES column % 16 == 0.
const float* F32WeightsAt(const PackedRows& packed, int64_t column);
const uint16_t* Bf16WeightsAt(const PackedRows& packed, int64_t column);
Int8Panels Int8WeightsAt(const PackedRows& packed, int64_t column);

}  // namespace gyrator

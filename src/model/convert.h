// Conversion of stored values to the operand format of a compute type. Internal to model/.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "gyrator/types.h"
#include "tensor/tensor_view.h"

namespace gyrator {

// Whether values stored as `dtype` can be read: kF32, kF16, kBF16, kQ8_0.
bool IsWeightDType(DType dtype);

// Values begin .. begin + count - 1 of `bytes`, widened exactly. `bytes` may be unaligned. kQ8_0:
// begin and count are multiples of 32, else any.
void Widen(DType dtype, const std::byte* bytes, int64_t begin, int64_t count, float* out);

// Converts all `count` values to `to` (kF32, kBF16 or kQ8_0) in parallel; out has room for them.
// kQ8_0 on either side: count is a multiple of 32. Equal dtypes are copied. False when a value is
// one that kQ8_0 cannot hold (QuantizeQ8_0); out is then unspecified.
bool Convert(const TensorView& from, DType to, std::byte* out, ThreadPool* threads);

// Whether every scale of a kQ8_0 tensor is finite.
bool ScalesAreFinite(const TensorView& blocks, ThreadPool* threads);

}  // namespace gyrator

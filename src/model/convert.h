// Conversion of stored values to the operand format of a compute type. Internal to model/.
//
// What a stored type is, and how its blocks become numbers: tensor/weight_format.h. Here is what
// becomes of the numbers: f32 as they are, bf16 rounded once, Q8_0 by the format's exact map where
// it has one, and by QuantizeQ8_0 where it has none.
#pragma once

#include <cstdint>
#include <string>

#include "base/thread_pool.h"
#include "gyrator/status.h"
#include "gyrator/types.h"
#include "tensor/tensor_view.h"
#include "tensor/weight_format.h"

namespace gyrator {

// What the matrices of a compute type hold: kF32, kBF16 or kQ8_0.
DType OperandDType(ComputeType compute);

// How one tensor is converted: decided once for all of it, then done range by range.
struct Conversion {
  TensorView from;  // of a type that is a weight
  DType to = DType::kF32;
  bool exact = false;  // to kQ8_0 by the map of the stored format

  // Whether blocks are unpacked and quantized again, which later kernels for the stored type would
  // not do: their numbers are other ones.
  bool requantizes() const {
    return to == DType::kQ8_0 && !exact && FormatOf(from.dtype).is_block();
  }
};

// `to`: kF32, kBF16 or kQ8_0. Reads the scales of a format whose exact map not every scale allows.
Conversion PlanConversion(const TensorView& from, DType to, ThreadPool* threads);

// Why values cannot be converted.
enum class ConversionFault : uint8_t {
  kNone,
  kScale,  // a stored scale is not finite
  kValue,  // QuantizeQ8_0 cannot hold a group
};

// Converts values begin .. begin + count - 1 of the tensor, in C order; `out` receives the first of
// them first, and is unspecified after a fault. begin and count are multiples of the block of both
// types: a range of whole rows always is one. For any thread, under FloatEnvironment.
ConversionFault ConvertRange(const Conversion& conversion, int64_t begin, int64_t count,
                             std::byte* out);

// The whole tensor, in parallel.
ConversionFault ConvertAll(const Conversion& conversion, std::byte* out, ThreadPool* threads);

// The error of a fault of the tensor `name`: kCorruption.
Status FaultStatus(ConversionFault fault, const std::string& name, DType stored);

// Values begin .. begin + count - 1 of `bytes`, as f32 without rounding. `bytes` may be unaligned.
// begin and count are multiples of the block of `dtype`.
void Widen(DType dtype, const std::byte* bytes, int64_t begin, int64_t count, float* out);

// Whether every scale of the tensor is finite; true for a type without scales.
bool ScalesAreFinite(const TensorView& view, ThreadPool* threads);

}  // namespace gyrator

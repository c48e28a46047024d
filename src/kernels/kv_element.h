// What one stored element of K or V is read as.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/paged_kv.h"
#include "tensor/dtype.h"

namespace gyrator {

// The element at `index` (KeyIndex, ValueIndex) of the K or V of a head at `head`; `scale` is that
// of its group under int8, and not looked at otherwise. REQUIRES FloatEnvironment under int8.
inline float KvElement(DType dtype, const std::byte* head, int64_t index, float scale) {
  switch (dtype) {
    case DType::kI8:
      return BF16ToF32(
          F32ToBF16(scale * static_cast<float>(reinterpret_cast<const int8_t*>(head)[index])));
    case DType::kBF16:
      return BF16ToF32(reinterpret_cast<const uint16_t*>(head)[index]);
    case DType::kF16:
      return F16ToF32(reinterpret_cast<const uint16_t*>(head)[index]);
    default:
      return reinterpret_cast<const float*>(head)[index];
  }
}

}  // namespace gyrator

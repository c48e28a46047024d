// Sizes of element types, and the scalar definition of each float conversion.
//
// The vector conversions of kernels/ must give these bits.
#pragma once

#include <bit>
#include <cstdint>

#include "gyrator/types.h"

namespace gyrator {

// `elements` values take `bytes` bytes.
struct BlockLayout {
  int64_t elements;
  uint64_t bytes;
};
BlockLayout LayoutOf(DType dtype);

// One block of GGUF's Q8_0: value[i] = f32(scale) * q[i].
struct BlockQ8_0 {
  uint16_t scale;  // f16
  int8_t q[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

inline float BF16ToF32(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Nearest even; denormals (in and out) become zeros of the same sign; NaN stays NaN (quiet), as
// vcvtneps2bf16 does.
inline uint16_t F32ToBF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  if (magnitude < 0x00800000u) return static_cast<uint16_t>((bits >> 16) & 0x8000u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float F16ToF32(uint16_t bits);   // exact; denormals kept
uint16_t F32ToF16(float value);  // nearest even; overflow to infinity; denormals kept

}  // namespace gyrator

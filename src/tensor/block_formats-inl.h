// The block types of GGUF: each as a struct, and its numbers. For weight_format.cc alone.
//
// Every Unpack does the operations of the gguf package in its order, so that the bits are equal: a
// scale of a group is rounded once (f32(scale) * small scale), then each value once or twice. They
// are plain loops over arrays of the block's own copy, which a compiler turns into vectors.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "tensor/dtype.h"

namespace gyrator {

// Blocks of 32. The low half of byte i is element i, its high half element i + 16.
struct BlockQ4_0 {
  uint16_t scale;  // f16, as every scale and minimum of 16 bits below
  uint8_t q[16];
};
struct BlockQ4_1 {
  uint16_t scale;
  uint16_t min;
  uint8_t q[16];
};
struct BlockQ5_0 {
  uint16_t scale;
  uint8_t high[4];  // bit i: the fifth bit of element i
  uint8_t q[16];
};
struct BlockQ5_1 {
  uint16_t scale;
  uint16_t min;
  uint8_t high[4];
  uint8_t q[16];
};
struct BlockIQ4_NL {
  uint16_t scale;
  uint8_t q[16];  // indexes into kLevels
};
struct BlockMXFP4 {
  uint8_t exponent;  // the scale of the doubled values is 2^(exponent - 128)
  uint8_t q[16];     // indexes into kDoubledE2m1
};

// Blocks of 256: groups of 16 or 32 have scales of few bits below one or two f16 scales.
struct BlockQ2_K {
  uint8_t scales[16];  // of a group of 16: low half scale, high half minimum
  uint8_t q[64];
  uint16_t scale;
  uint16_t min;
};
struct BlockQ3_K {
  uint8_t high[32];
  uint8_t q[64];
  uint8_t scales[12];  // 16 of 6 bits
  uint16_t scale;
};
struct BlockQ4_K {
  uint16_t scale;
  uint16_t min;
  uint8_t scales[12];  // 8 scales and 8 minimums of 6 bits
  uint8_t q[128];
};
struct BlockQ5_K {
  uint16_t scale;
  uint16_t min;
  uint8_t scales[12];
  uint8_t high[32];
  uint8_t q[128];
};
struct BlockQ6_K {
  uint8_t low[128];
  uint8_t high[64];
  int8_t scales[16];
  uint16_t scale;
};
struct BlockIQ4_XS {
  uint16_t scale;
  uint16_t scales_high;  // 8 of 2 bits
  uint8_t scales_low[4];
  uint8_t q[128];
};

inline constexpr int8_t kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
// Twice the values of four bits, sign, two of exponent and one of mantissa. The second zero is no
// negative zero in the package, and none here.
inline constexpr int8_t kDoubledE2m1[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

// ---- Integers of a block ----

inline void Integers(const BlockQ8_0& block, int8_t* q) { std::memcpy(q, block.q, 32); }

inline void Integers(const BlockQ4_0& block, int8_t* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = static_cast<int8_t>((block.q[i] & 15) - 8);
    q[i + 16] = static_cast<int8_t>((block.q[i] >> 4) - 8);
  }
}

inline void Integers(const BlockIQ4_NL& block, int8_t* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = kLevels[block.q[i] & 15];
    q[i + 16] = kLevels[block.q[i] >> 4];
  }
}

inline void Integers(const BlockMXFP4& block, int8_t* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = kDoubledE2m1[block.q[i] & 15];
    q[i + 16] = kDoubledE2m1[block.q[i] >> 4];
  }
}

// The fifth bits of a block as bytes of 0 or 16.
inline void FifthBits(const uint8_t* high, uint8_t* out) {
  for (int i = 0; i < 32; ++i) out[i] = static_cast<uint8_t>((high[i / 8] >> (i % 8) & 1) << 4);
}

inline void Integers(const BlockQ5_0& block, int8_t* q) {
  uint8_t high[32];
  FifthBits(block.high, high);
  for (int i = 0; i < 16; ++i) {
    q[i] = static_cast<int8_t>(((block.q[i] & 15) | high[i]) - 16);
    q[i + 16] = static_cast<int8_t>(((block.q[i] >> 4) | high[i + 16]) - 16);
  }
}

// ---- Blocks of 32 ----

template <class Block>
void UnpackIntegers(const Block& block, float* out) {
  int8_t q[32];
  Integers(block, q);
  const float scale = F16ToF32(block.scale);
  for (int i = 0; i < 32; ++i) out[i] = scale * static_cast<float>(q[i]);
}

inline void Unpack(const BlockQ8_0& block, float* out) { UnpackIntegers(block, out); }
inline void Unpack(const BlockQ4_0& block, float* out) { UnpackIntegers(block, out); }
inline void Unpack(const BlockQ5_0& block, float* out) { UnpackIntegers(block, out); }
inline void Unpack(const BlockIQ4_NL& block, float* out) { UnpackIntegers(block, out); }

inline void Unpack(const BlockQ4_1& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(block.q[i] & 15) + min;
    out[i + 16] = scale * static_cast<float>(block.q[i] >> 4) + min;
  }
}

inline void Unpack(const BlockQ5_1& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  uint8_t high[32];
  FifthBits(block.high, high);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>((block.q[i] & 15) | high[i]) + min;
    out[i + 16] = scale * static_cast<float>((block.q[i] >> 4) | high[i + 16]) + min;
  }
}

// doubled * 2^(exponent - 128), put together from bits: the small ones are denormals, which a
// product would flush where the float environment says so.
inline float ScaledE2m1(uint8_t exponent, int8_t doubled) {
  const uint32_t sign = doubled < 0 ? 0x80000000u : 0u;
  const uint32_t magnitude = static_cast<uint32_t>(doubled < 0 ? -doubled : doubled);
  if (magnitude == 0) return 0.0f;
  const int top = std::bit_width(magnitude) - 1;
  const int biased = exponent - 1 + top;  // of the f32
  if (biased >= 255) return std::bit_cast<float>(sign | 0x7f800000u);
  if (biased < 1) return std::bit_cast<float>(sign | magnitude << (21 + exponent));
  const uint32_t mantissa = magnitude << (23 - top) & 0x7fffffu;
  return std::bit_cast<float>(sign | static_cast<uint32_t>(biased) << 23 | mantissa);
}

inline void Unpack(const BlockMXFP4& block, float* out) {
  float values[16];
  for (int i = 0; i < 16; ++i) values[i] = ScaledE2m1(block.exponent, kDoubledE2m1[i]);
  for (int i = 0; i < 16; ++i) {
    out[i] = values[block.q[i] & 15];
    out[i + 16] = values[block.q[i] >> 4];
  }
}

// ---- Blocks of 256 ----

inline void Unpack(const BlockQ2_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  for (int group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(block.scales[group] & 15);
    const float group_min = min * static_cast<float>(block.scales[group] >> 4);
    // Half of the block, then two bits of each of 32 bytes, then half of these bytes.
    const uint8_t* q = block.q + group / 8 * 32 + group % 2 * 16;
    const int shift = group / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i) {
      out[group * 16 + i] = group_scale * static_cast<float>(q[i] >> shift & 3) - group_min;
    }
  }
}

// 16 scales of 6 bits: four low bits in bytes 0 to 7, two high bits in bytes 8 to 11.
inline std::array<int8_t, 16> ScalesOf(const BlockQ3_K& block) {
  std::array<int8_t, 16> scales;
  for (int i = 0; i < 16; ++i) {
    const int low = block.scales[i % 8] >> (i / 8 * 4) & 15;
    const int high = block.scales[8 + i % 4] >> (i / 4 * 2) & 3;
    scales[static_cast<size_t>(i)] = static_cast<int8_t>((low | high << 4) - 32);
  }
  return scales;
}

inline void Unpack(const BlockQ3_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const std::array<int8_t, 16> scales = ScalesOf(block);
  for (int group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(scales[static_cast<size_t>(group)]);
    const uint8_t* q = block.q + group / 8 * 32 + group % 2 * 16;
    const uint8_t* high = block.high + group % 2 * 16;
    const int shift = group / 2 % 4 * 2;
    const int bit = group / 2;
    for (int i = 0; i < 16; ++i) {
      // A bit that is not set stands for -4.
      const int value = (q[i] >> shift & 3) + ((high[i] >> bit & 1) << 2) - 4;
      out[group * 16 + i] = group_scale * static_cast<float>(value);
    }
  }
}

struct ScalesQ4_K {
  uint8_t scale[8];
  uint8_t min[8];
};

// 8 scales and 8 minimums of 6 bits: the first four of each whole in bytes 0 to 7, the others with
// four bits in bytes 8 to 11 and two above the first ones.
inline ScalesQ4_K ScalesOf(const uint8_t (&packed)[12]) {
  ScalesQ4_K scales;
  for (int i = 0; i < 4; ++i) {
    scales.scale[i] = packed[i] & 63;
    scales.min[i] = packed[i + 4] & 63;
    scales.scale[i + 4] = static_cast<uint8_t>((packed[i + 8] & 15) | (packed[i] >> 2 & 48));
    scales.min[i + 4] = static_cast<uint8_t>((packed[i + 8] >> 4) | (packed[i + 4] >> 2 & 48));
  }
  return scales;
}

// Groups of 32 with a scale and a minimum each: value_at(group, i) is the stored integer.
template <class Block, class ValueAt>
void UnpackGroups(const Block& block, ValueAt value_at, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  const ScalesQ4_K scales = ScalesOf(block.scales);
  for (int group = 0; group < 8; ++group) {
    const float group_scale = scale * static_cast<float>(scales.scale[group]);
    const float group_min = min * static_cast<float>(scales.min[group]);
    for (int i = 0; i < 32; ++i) {
      out[group * 32 + i] = group_scale * static_cast<float>(value_at(group, i)) - group_min;
    }
  }
}

inline void Unpack(const BlockQ4_K& block, float* out) {
  const auto value_at = [&](int group, int i) {
    return block.q[group / 2 * 32 + i] >> (group % 2 * 4) & 15;
  };
  UnpackGroups(block, value_at, out);
}

inline void Unpack(const BlockQ5_K& block, float* out) {
  const auto value_at = [&](int group, int i) {
    const int low = block.q[group / 2 * 32 + i] >> (group % 2 * 4) & 15;
    return low | (block.high[i] >> group & 1) << 4;
  };
  UnpackGroups(block, value_at, out);
}

inline void Unpack(const BlockQ6_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(block.scales[group]);
    // Half of the block, then four bits of each of 64 bytes, then a quarter of these bytes.
    const uint8_t* low = block.low + group / 8 * 64 + group % 4 * 16;
    const int low_shift = group / 4 % 2 * 4;
    const uint8_t* high = block.high + group / 8 * 32 + group % 2 * 16;
    const int high_shift = group / 2 % 4 * 2;
    for (int i = 0; i < 16; ++i) {
      const int value = ((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32;
      out[group * 16 + i] = group_scale * static_cast<float>(value);
    }
  }
}

inline void Unpack(const BlockIQ4_XS& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int group = 0; group < 8; ++group) {
    const int low = block.scales_low[group / 2] >> (group % 2 * 4) & 15;
    const int high = block.scales_high >> (2 * group) & 3;
    const float group_scale = scale * static_cast<float>((low | high << 4) - 32);
    const uint8_t* q = block.q + group * 16;
    int8_t levels[32];
    for (int i = 0; i < 16; ++i) {
      levels[i] = kLevels[q[i] & 15];
      levels[i + 16] = kLevels[q[i] >> 4];
    }
    for (int i = 0; i < 32; ++i) out[group * 32 + i] = group_scale * static_cast<float>(levels[i]);
  }
}

// ---- Scales ----

inline bool IsFiniteF16(uint16_t bits) { return (bits & 0x7c00u) != 0x7c00u; }

template <class Block>
bool HasFiniteScales(const Block& block) {
  if constexpr (requires { block.min; }) {
    return IsFiniteF16(block.scale) && IsFiniteF16(block.min);
  } else {
    return IsFiniteF16(block.scale);
  }
}

// From exponent 253 on 12 times the scale is infinite; 255 is the format's NaN.
inline bool HasFiniteScales(const BlockMXFP4& block) { return block.exponent < 253; }

// ---- As Q8_0 ----

template <class Block>
void ToQ8(const Block& block, BlockQ8_0* out) {
  out->scale = block.scale;
  Integers(block, out->q);
}

inline bool IsZero(const BlockMXFP4& block) {
  uint8_t any = 0;
  for (const uint8_t byte : block.q) any = static_cast<uint8_t>(any | (byte & 0x77));
  return any == 0;
}

// An f16 holds the powers of two from 2^-24, its smallest denormal, to 2^15.
inline bool FitsQ8(const BlockMXFP4& block) {
  return (block.exponent >= 128 - 24 && block.exponent <= 128 + 15) || IsZero(block);
}

// REQUIRES FitsQ8. A block of zeros needs no scale: quantizers write exponent 0.
inline void ToQ8(const BlockMXFP4& block, BlockQ8_0* out) {
  const int power = block.exponent - 128;
  out->scale = 0;
  if (!IsZero(block)) {
    out->scale = static_cast<uint16_t>(power >= -14 ? (power + 15) << 10 : 1 << (power + 24));
  }
  Integers(block, out->q);
}

}  // namespace gyrator

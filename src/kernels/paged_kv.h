// How K and V lie in blocks: the only thing that model/ and kv/ both know.
//
// kv/ fills a PagedKv and block tables; kernels read and write through it and never ask who owns a
// block. Plain data, no ownership.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gyrator/types.h"

namespace gyrator {

inline constexpr int32_t kBlockPositions =
    16;  // positions of a block; frozen with the layouts below

// Dimensions that share a scale under int8: value = bf16(scale * q), the f32 product rounded by
// F32ToBF16, where scale and q are those of Ops::quantize.
inline constexpr int32_t kKvGroup = 32;

// Whether attention multiplies K and V of this dtype in pairs of bf16 (kernels/ops.h).
inline bool KvInPairs(DType dtype) { return dtype == DType::kBF16 || dtype == DType::kI8; }

// Elements of one block, one layer, one kv head. bf16 lies in pairs, as the bf16 dot instructions
// take them, and int8 as the bf16 that it is read as; f32 and f16 do not.
//   K  f32, f16: [head_dim][16 positions]        bf16, int8: [head_dim / 2][16 positions][2 dims]
//   V  f32, f16: [16 positions][head_dim]        bf16, int8: [16 / 2][head_dim][2 positions]
// `slot` is position % 16. REQUIRES head_dim even; under int8 a multiple of kKvGroup.
inline int64_t KeyIndex(DType dtype, int32_t dim, int32_t slot) {
  if (!KvInPairs(dtype)) return int64_t{dim} * kBlockPositions + slot;
  return (int64_t{dim / 2} * kBlockPositions + slot) * 2 + dim % 2;
}
inline int64_t ValueIndex(DType dtype, int32_t dim, int32_t slot, int32_t head_dim) {
  if (!KvInPairs(dtype)) return int64_t{slot} * head_dim + dim;
  return (int64_t{slot / 2} * head_dim + dim) * 2 + slot % 2;
}
// Under int8 the f32 scales of K, and of V, lie behind the elements of the head:
//   [head_dim / 32][16 positions]
inline int64_t ScaleIndex(int32_t group, int32_t slot) {
  return int64_t{group} * kBlockPositions + slot;
}

// The bytes of a pool of blocks: base[layer][block][K or V][kv_head][head elements, then scales].
struct PagedKv {
  std::byte* base = nullptr;
  DType dtype = DType::kF32;  // kF32, kBF16, kF16 or kI8
  int32_t num_layers = 0;
  int32_t num_blocks = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;

  int64_t element_bytes() const { return dtype == DType::kF32 ? 4 : dtype == DType::kI8 ? 1 : 2; }
  int32_t num_groups() const { return dtype == DType::kI8 ? head_dim / kKvGroup : 0; }  // of a head
  int64_t scales_offset() const { return element_bytes() * head_dim * kBlockPositions; }
  int64_t head_bytes() const {
    return scales_offset() + int64_t{num_groups()} * kBlockPositions * int64_t{sizeof(float)};
  }
  int64_t half_bytes() const { return head_bytes() * num_kv_heads; }  // all K, or all V, of a block
  int64_t block_bytes() const { return half_bytes() * 2; }            // one layer of a block
  int64_t total_bytes() const { return block_bytes() * num_blocks * num_layers; }

  std::byte* keys(int32_t layer, uint32_t block, int32_t kv_head) const {
    return base + (int64_t{layer} * num_blocks + block) * block_bytes() + kv_head * head_bytes();
  }
  std::byte* values(int32_t layer, uint32_t block, int32_t kv_head) const {
    return keys(layer, block, kv_head) + half_bytes();
  }
  // The scales of the elements at `head`, which keys() or values() gave.
  float* scales(std::byte* head) const { return reinterpret_cast<float*>(head + scales_offset()); }
};

// The blocks of one sequence: position p lies in blocks[p / 16], slot p % 16.
struct BlockTableView {
  const uint32_t* blocks = nullptr;
  int32_t num_blocks = 0;
};

}  // namespace gyrator

// Rows of K or V from one type to another, for bare folders.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "gyrator/types.h"

namespace gyrator {

// One position of one kv head, little-endian.
struct KvRow {
  std::vector<std::byte> elements;  // [head_dim]
  std::vector<std::byte> scales;    // int8: f32 [head_dim / 32]; else empty
};

// [head_dim] f32 values of a row of kF32, kF16, kBF16 (exact) or kI8 (what attention reads:
// bf16(scale * q), kernels/paged_kv.h). `scales` is that of KvRow. REQUIRES FloatEnvironment.
std::vector<float> WidenKvRow(DType from, ByteSpan elements, ByteSpan scales);

// To nearest, as StoreKv keeps them; nullopt when int8 cannot hold a value that is not finite.
// REQUIRES FloatEnvironment.
std::optional<KvRow> NarrowKvRow(DType to, const std::vector<float>& values);

}  // namespace gyrator

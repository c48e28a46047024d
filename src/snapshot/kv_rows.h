// Between blocks, where K and V lie as kernels want them, and rows, as files have them.
//
// Bits are moved, never interpreted: NaN payloads survive. Physical placement of blocks never
// reaches a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/paged_kv.h"
#include "snapshot/format.h"

namespace gyrator {

KvGeometry GeometryOf(const PagedKv& kv);

// One head's K or V, or the scales of one, of one layer of one sequence.
struct HeadPlace {
  int32_t layer = 0;
  KvTensor tensor = KvTensor::kKey;
  int32_t kv_head = 0;
};

// Copies positions [begin, begin + count) of a head into rows [count, width], little-endian.
// REQUIRES: `blocks` covers them; rows.size() == count * KvRowBytes.
void GatherRows(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                int32_t begin, std::span<std::byte> rows);

// The reverse of GatherRows.
void ScatterRows(const PagedKv& kv, const BlockTableView& blocks, const HeadPlace& place,
                 int32_t begin, std::span<const std::byte> rows);

// Whether every element of `bytes` (dtype kF32, kF16, kBF16 or kI8, native order) is finite.
bool AllFinite(DType dtype, std::span<const std::byte> bytes);

}  // namespace gyrator

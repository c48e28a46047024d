// A non-owning, typed, shaped view of bytes; what parsers give and everything above reads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "gyrator/types.h"

namespace gyrator {

using Shape = std::vector<int64_t>;  // outermost dimension first, as numpy prints it; each >= 0

// Number of elements; nullopt when a dimension is negative or the product overflows int64.
std::optional<int64_t> NumElements(const Shape& shape);

// Bytes of a contiguous C-order tensor. nullopt on overflow, or when the innermost dimension is no
// multiple of a block type's block (32 for kQ8_0).
std::optional<uint64_t> TensorBytes(DType dtype, const Shape& shape);

// "[4, 256]"
std::string ShapeText(const Shape& shape);

struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  ByteSpan bytes;  // C order, little-endian; may be unaligned
};

}  // namespace gyrator

// The table of stored element types: the one place that knows how each of them lies in a file.
//
// A format is a name, a block of so many elements in so many bytes, and the functions that turn
// blocks into numbers. A new format is a new row. Does not know files, and does not choose what a
// compute type wants (model/convert.h does). Source of the layouts: ggml's block types, and the
// dequantization of the gguf package, whose f32 bits every `unpack` gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gyrator/types.h"
#include "tensor/dtype.h"

namespace gyrator {

// `blocks` are `count` whole blocks at any address. Every function is pure, and may be called by
// any number of threads.
struct WeightFormat {
  DType dtype = DType::kF32;
  std::string_view name;
  int64_t elements = 1;  // of a block
  uint64_t bytes = 1;    // of a block

  // Writes count * elements floats. Null for types that are never weights (integers, bool, f64).
  // A block whose scales are not finite gives some bits, and is for the caller to refuse.
  void (*unpack)(const std::byte* blocks, int64_t count, float* out) = nullptr;

  // Whether all scales are finite, and with them all values. Null for a format without scales.
  bool (*scales_are_finite)(const std::byte* blocks, int64_t count) = nullptr;

  // The same numbers as Q8_0 blocks, elements / 32 for each block: f32(scale) * q has the bits of
  // `unpack`. Null for a format whose numbers are not always an f16 times an int8.
  void (*exact_q8)(const std::byte* blocks, int64_t count, BlockQ8_0* out) = nullptr;
  // Whether exact_q8 may be called for these blocks. Null: for all whose scales are finite.
  bool (*fits_q8)(const std::byte* blocks, int64_t count) = nullptr;

  bool is_weight() const { return unpack != nullptr; }
  bool is_block() const { return elements > 1; }
};

// The row of `dtype`. A value that is no DType gives a row called "unknown" that is no weight.
const WeightFormat& FormatOf(DType dtype);

// All rows, by the value of their dtype.
std::span<const WeightFormat> AllFormats();

}  // namespace gyrator

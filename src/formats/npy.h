// numpy's .npy files: one array.
//
// Does: read versions 1 to 3, either order of elements, either byte order; give the header that
// numpy.save writes. Does not: read pickled, structured, complex or text arrays (kUnsupported), nor
// convert values. What is read, written and refused: docs/formats/npy.md. Source: numpy NEP 1 and
// numpy/lib/_format_impl.py.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "gyrator/status.h"
#include "tensor/tensor_view.h"

namespace gyrator {

// An array as it lies in the file. bf16 has no name in the format: it comes as kU16.
struct NpyArray {
  DType dtype = DType::kF32;
  Shape shape;
  bool fortran_order = false;  // the first index runs fastest
  bool big_endian = false;     // false for elements of one byte
  ByteSpan data;               // all of the elements, nothing else; may be unaligned

  // Whether `data` is C order and little-endian as it lies (one dimension is in either order).
  bool IsNative() const { return !big_endian && (!fortran_order || shape.size() < 2); }
  TensorView view() const { return {dtype, shape, data}; }  // REQUIRES: IsNative()
};

// `bytes` is the whole file; the result points into it. kCorruption, kUnsupported.
Result<NpyArray> ParseNpy(ByteSpan bytes);

// What the header says of a file of `file_bytes` bytes that begins with `start`: all but the data,
// whose size is checked. Errors as ParseNpy.
Result<NpyArray> ParseNpyHeader(ByteSpan start, uint64_t file_bytes);

// The elements in C order, little-endian; as many bytes as array.data.
std::vector<std::byte> NativeCopy(const NpyArray& array);

// The version 1.0 header that numpy.save writes before C-order, little-endian data, which follow at
// a multiple of 64 bytes. kBF16 is written as u16. REQUIRES: dtype is not kQ8_0, dimensions are not
// negative, at most 64 of them.
std::string NpyHeader(DType dtype, const Shape& shape);

}  // namespace gyrator

// Writing of GGUF v3 files, little-endian, alignment 32: the bytes that the gguf package writes.
//
// Tensors are declared first and their bytes asked for one tensor at a time, so a file larger than
// memory can be written. Does not convert or quantize: tensors of block types are given as blocks.
// The format: docs/formats/gguf.md.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "formats/output_file.h"
#include "gyrator/status.h"
#include "tensor/tensor_view.h"

namespace gyrator {

// Use: Set and SetArray, AddTensor, then one Write or WriteFile. Order is kept. A wrong declaration
// (duplicate, name too long, type that GGUF lacks) is remembered and returned by Write. Not for
// concurrent use.
class GgufWriter {
 public:
  // T is named at the call: Set<uint32_t>("llama.block_count", 6). uint8_t .. int64_t, float,
  // double, bool, std::string_view.
  template <class T>
  void Set(std::string_view key, std::type_identity_t<T> value);

  // T as in Set (but bool), or std::string.
  template <class T>
  void SetArray(std::string_view key, std::span<const T> values);

  // `shape` outermost first. `source` is called once, by Write, and must give exactly
  // TensorBytes(dtype, shape) bytes. Every type that is a weight, kI8 .. kI64 and kF64.
  void AddTensor(std::string_view name, DType dtype, const Shape& shape, TensorSource source);
  // The same from memory that lives until Write returns.
  void AddTensor(std::string_view name, DType dtype, const Shape& shape, ByteSpan bytes);

  // The whole file. kInvalidArgument for a wrong declaration or a source that gives too few or too
  // many bytes; else what `sink` or a source returns.
  Status Write(const ByteSink& sink) const;
  // The same to a file, which appears whole or not at all.
  Status WriteFile(const std::string& path) const;

 private:
  struct Tensor {
    std::string name;
    uint64_t bytes;
    TensorSource source;
  };

  void AddKey(std::string_view key, uint32_t type);
  void Refuse(std::string message);

  Status status_;  // the first wrong declaration
  std::set<std::string> keys_;
  std::set<std::string> names_;
  std::string metadata_;      // serialized
  std::string tensor_infos_;  // serialized
  uint64_t data_bytes_ = 0;   // with padding
  std::vector<Tensor> tensors_;
};

}  // namespace gyrator

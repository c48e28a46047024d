// Reading of GGUF files, version 2 and 3, little-endian: metadata and tensors where they lie.
//
// Does: check everything that the file claims before it is used, and give views into the mapping.
// Does not: know keys of models or tokenizers, or convert values. What is read and refused:
// docs/formats/gguf.md. Source: the GGUF specification in ggml.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "formats/tensor_file.h"
#include "gyrator/status.h"

namespace gyrator {

// Types of metadata values. Values are the file's.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};
std::string_view GgufTypeName(GgufType type);  // "u8", "string", "array", ...

// One metadata value as it lies in the file.
struct GgufValue {
  GgufType type = GgufType::kU8;
  GgufType element = GgufType::kU8;  // of an array
  uint64_t count = 1;                // elements of an array
  ByteSpan bytes;  // the payload; of a string its text; of an array its elements, packed
};

// A parsed file. Cheap to copy (copies share the mapping). Immutable: safe for concurrent use.
// Every view that it gives is valid while the file, a copy, or one of tensors().owners() lives.
class GgufFile {
 public:
  // Maps and parses one file. MappedFile's errors; kCorruption (damaged), kUnsupported (version,
  // byte order). Messages begin with the path. A part of a split file is a file with some of the
  // tensors: OpenGguf of gguf_parts.h joins them.
  static Result<GgufFile> Open(const std::string& path);
  // Parses `bytes`, which `owner` keeps alive.
  static Result<GgufFile> Parse(ByteSpan bytes, std::shared_ptr<const void> owner);

  // Adds the tensors and the mapped files of another part of the same split file, whose metadata is
  // left out. kCorruption: a tensor that is here already. See gguf_parts.h, which checks that the
  // parts belong together.
  Status AddPart(const GgufFile& part);
  int64_t num_parts() const { return num_parts_; }

  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }

  const TensorIndex& tensors() const { return tensors_; }

  // Keys in file order.
  const std::vector<std::string_view>& keys() const { return keys_; }
  bool Has(std::string_view key) const { return values_.contains(key); }
  // The raw value; null when absent.
  const GgufValue* Find(std::string_view key) const;

  // The value of `key` as T: int32_t, uint32_t, int64_t, uint64_t (from any integer type, when it
  // fits), float, double (from f32, f64), bool, std::string_view. kNotFound when absent,
  // kCorruption when of another type or out of T's range; both name the key.
  template <class T>
  Result<T> Get(std::string_view key) const;

  // As Get, but `fallback` when the key is absent.
  template <class T>
  Result<T> GetOr(std::string_view key, T fallback) const {
    if (!Has(key)) return fallback;
    return Get<T>(key);
  }

  // The elements of an array as T (those of Get, but bool), under the rules of Get. Strings are
  // views, not copies; the allocation is bounded by the file's size.
  template <class T>
  Result<std::vector<T>> GetArray(std::string_view key) const;

 private:
  Status ParseAll(ByteSpan bytes);
  Status ParseMetadata(ByteReader* reader, uint64_t count);
  Status ParseTensors(ByteReader* reader, uint64_t count, ByteSpan file);

  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  int64_t num_parts_ = 1;
  TensorIndex tensors_;
  std::vector<std::string_view> keys_;
  std::unordered_map<std::string_view, GgufValue> values_;
};

}  // namespace gyrator

// Reading and writing of safetensors files and of folders of shards.
//
// Does: check everything that a header claims before it is used, and give views into the mapping.
// Does not: convert values. What is read, written and refused: docs/formats/safetensors.md. Source:
// the format's README and the checks of the safetensors package.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "formats/output_file.h"
#include "formats/tensor_file.h"
#include "gyrator/status.h"

namespace gyrator {

// Views are valid while one of tensors.owners() lives. Safe for concurrent reads.
struct SafetensorsFile {
  TensorIndex tensors;
  std::map<std::string, std::string> metadata;  // __metadata__
};

// Maps and parses. MappedFile's errors; kCorruption. Messages begin with the path.
Result<SafetensorsFile> OpenSafetensors(const std::string& path);
// Parses `bytes`, which `owner` keeps alive.
Result<SafetensorsFile> ParseSafetensors(ByteSpan bytes, std::shared_ptr<const void> owner);

// The weights of a Hugging Face folder: model.safetensors, or else the shards that
// model.safetensors.index.json lists. Of a shard only the tensors that the index places there are
// taken. kNotFound (neither, or a shard), kCorruption.
Result<TensorIndex> OpenSafetensorsFolder(const std::string& folder);

// Writes what the safetensors package writes: tensors sorted by type (as it ranks them), then by
// name; the header padded with spaces to 8 bytes. A wrong declaration is remembered and returned by
// Write. Not for concurrent use.
class SafetensorsWriter {
 public:
  // Texts are UTF-8. A key that is set twice keeps the last value.
  void SetMetadata(std::string_view key, std::string_view value);

  // `source` is called once, by Write, and must give exactly TensorBytes(dtype, shape) bytes. Every
  // DType but kQ8_0.
  void AddTensor(std::string_view name, DType dtype, const Shape& shape, TensorSource source);
  // The same from memory that lives until Write returns.
  void AddTensor(std::string_view name, DType dtype, const Shape& shape, ByteSpan bytes);

  // kInvalidArgument for a wrong declaration or source; else what `sink` or a source returns.
  Status Write(const ByteSink& sink) const;
  // The same to a file, which appears whole or not at all.
  Status WriteFile(const std::string& path) const;

 private:
  struct Tensor {
    std::string name;
    int rank;  // of the type in the package's order
    std::string dtype;
    Shape shape;
    uint64_t bytes;
    TensorSource source;
  };

  void Refuse(std::string message);

  Status status_;  // the first wrong declaration
  std::map<std::string, std::string> metadata_;
  std::set<std::string> names_;
  std::vector<Tensor> tensors_;
};

}  // namespace gyrator

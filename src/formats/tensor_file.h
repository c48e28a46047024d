// The common index of a weight file: name -> TensorView.
//
// What safetensors.h and gguf.h give, so that model/weights reads either without asking which. Does
// not convert, copy or check values.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"
#include "tensor/tensor_view.h"

namespace gyrator {

class MappedFile;

// Tensors in file order, and what keeps their bytes alive. Copies share the bytes. Immutable once
// its parser has returned it: safe for concurrent reads.
class TensorIndex {
 public:
  struct Entry {
    std::string name;
    TensorView view;           // `bytes` is empty when `foreign_type` is set
    std::string foreign_type;  // the file's name of an element type that DType does not have
  };

  // The tensor called `name`, valid while one of `owners()` lives. kNotFound; kUnsupported names
  // tensor and type when the element type is a foreign one.
  Result<TensorView> Get(std::string_view name) const;
  bool Contains(std::string_view name) const { return positions_.contains(name); }

  const std::vector<Entry>& entries() const { return entries_; }
  // Whoever keeps a view beyond this index keeps these.
  const std::vector<std::shared_ptr<const void>>& owners() const { return owners_; }
  // The owners that are mapped files, in the order in which they were added. Empty when the bytes
  // came from memory.
  const std::vector<std::shared_ptr<const MappedFile>>& files() const { return files_; }

  // Gives back the memory of mapped bytes that are not read again soon (MappedFile::Release).
  void Release(ByteSpan bytes) const;

  // For parsers. kCorruption when the name is there already.
  Status Add(Entry entry);
  void AddOwner(std::shared_ptr<const void> owner) { owners_.push_back(std::move(owner)); }
  // The file becomes an owner, too.
  void AddFile(std::shared_ptr<const MappedFile> file);

 private:
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> positions_;  // name -> index into entries_
  std::vector<std::shared_ptr<const void>> owners_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
};

}  // namespace gyrator

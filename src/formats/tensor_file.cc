#include "formats/tensor_file.h"

#include <utility>

#include "base/mapped_file.h"

namespace gyrator {

Result<TensorView> TensorIndex::Get(std::string_view name) const {
  const auto found = positions_.find(name);
  if (found == positions_.end()) {
    return Status::NotFound("tensor '" + std::string(name) + "': not in the file");
  }
  const Entry& entry = entries_[found->second];
  if (!entry.foreign_type.empty()) {
    return Status::Unsupported("tensor '" + entry.name + "': element type " + entry.foreign_type +
                               " is not supported");
  }
  return entry.view;
}

void TensorIndex::Release(ByteSpan bytes) const {
  for (const auto& file : files_) file->Release(bytes);
}

Status TensorIndex::Add(Entry entry) {
  if (!positions_.emplace(entry.name, entries_.size()).second) {
    return Status::Corruption("tensor '" + entry.name + "': listed twice");
  }
  entries_.push_back(std::move(entry));
  return {};
}

void TensorIndex::AddFile(std::shared_ptr<const MappedFile> file) {
  owners_.push_back(file);
  files_.push_back(std::move(file));
}

}  // namespace gyrator

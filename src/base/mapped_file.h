// A file mapped read-only into memory.
#pragma once

#include <string>

#include "base/bytes.h"
#include "gyrator/status.h"

namespace gyrator {

// Movable owner of a read-only mapping; unmapped at destruction. Safe for concurrent reads. The file
// must not be truncated while it is mapped (a read past the new end raises SIGBUS).
class MappedFile {
 public:
  // kNotFound, kIo; a directory is kInvalidArgument. An empty file gives empty bytes().
  static Result<MappedFile> Open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  ByteSpan bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  ByteSpan bytes_;
};

// The whole of a regular file of at most `bytes_max` bytes. kNotFound, kIo, kExhausted when larger.
Result<std::string> ReadSmallFile(const std::string& path, uint64_t bytes_max);

}  // namespace gyrator

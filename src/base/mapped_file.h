// A file mapped read-only into memory, and small files read whole.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/posix.h"
#include "gyrator/status.h"

namespace gyrator {

// What the file system says of an open file. A write changes at least one of these: the kernel sets
// `changed_ns` (ctime) itself, and no program can set it back. A rename or a change of mode changes
// it as well, so a difference means "look again", not "other bytes".
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  bool operator==(const FileStamp&) const = default;
};

// Movable owner of a read-only mapping and of the descriptor that it was made from; both end at
// destruction. Safe for concurrent reads. The file must not be truncated while it is mapped: a read
// past the new end raises SIGBUS, which this library does not handle (a program may; the command
// does, cli/bus_error.h).
class MappedFile {
 public:
  // kNotFound, kIo; kInvalidArgument for a folder, a pipe or a device. An empty file gives empty
  // bytes(). A pipe is refused without waiting for its writer.
  static Result<MappedFile> Open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  ByteSpan bytes() const { return bytes_; }
  // Gives back the memory that the whole pages within `part` take in this process; they are read
  // from the file again when they are touched. What lies outside of bytes() is left alone.
  void Release(ByteSpan part) const;
  const std::string& path() const { return path_; }
  // The stamp of the mapped file when it was opened.
  const FileStamp& stamp() const { return stamp_; }
  // The stamp of the mapped file now, whatever its path leads to by now. kIo.
  Result<FileStamp> StampNow() const;

 private:
  std::string path_;
  ByteSpan bytes_;
  FileStamp stamp_;
  Descriptor fd_{-1};
};

// The whole of a regular file of at most `bytes_max` bytes. kNotFound, kIo, kExhausted when larger;
// kInvalidArgument for what MappedFile::Open refuses by that code.
Result<std::string> ReadSmallFile(const std::string& path, uint64_t bytes_max);

}  // namespace gyrator

// A file that appears under its name whole, or not at all.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "gyrator/status.h"

namespace gyrator {

// Takes bytes in order, in pieces of any size.
using ByteSink = std::function<Status(ByteSpan)>;

// Gives the bytes of one tensor, in order, to the sink; what the sink returns is returned at once.
using TensorSource = std::function<Status(const ByteSink& sink)>;

// Lets `source` give to `sink`. kInvalidArgument, naming `tensor`, unless it gives exactly `bytes`.
Status WriteTensor(std::string_view tensor, uint64_t bytes, const TensorSource& source,
                   const ByteSink& sink);

// Writes `path`.partial, then renames it, so that a file that is mapped somewhere is never
// truncated and a kill leaves the old one. One writer a path. Not for concurrent use.
class OutputFile {
 public:
  static Result<OutputFile> Create(const std::string& path);  // kIo
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();  // without Commit: the partial file is removed

  // Unbuffered. kIo, kExhausted (no space left); both name the file.
  Status Write(ByteSpan bytes);
  // fsync, rename, fsync of the folder; once, last.
  Status Commit();

 private:
  explicit OutputFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {}
  Status Failed(const char* call) const;

  std::string path_;
  std::string partial_;
  int fd_ = -1;
};

// Creates `path`, lets `write` fill it, commits. On any failure `path` is as it was.
Status WriteWholeFile(const std::string& path, const std::function<Status(const ByteSink&)>& write);

}  // namespace gyrator

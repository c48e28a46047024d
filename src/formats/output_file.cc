#include "formats/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/fs.h"

namespace gyrator {

namespace {

// `path`.partial until Commit; removed without it.
class PartialFile {
 public:
  explicit PartialFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {}
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(partial_.c_str());
  }

  Status Create() {
    fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return fd_ < 0 ? Failed("create") : Status();
  }

  Status Write(ByteSpan bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Failed("write");
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
  }

  Status Commit() {
    if (::fsync(fd_) != 0) return Failed("fsync");
    if (std::rename(partial_.c_str(), path_.c_str()) != 0) return Failed("rename");
    ::close(std::exchange(fd_, -1));
    return PosixFileSystem().SyncDirectory(ParentPath(path_));
  }

 private:
  Status Failed(const char* call) const {
    const int error = errno;
    const std::string message = path_ + ": " + call + ": " + std::strerror(error);
    if (error == ENOSPC || error == EDQUOT) return Status::Exhausted(message);
    return error == ENOENT || error == ENOTDIR ? Status::NotFound(message) : Status::Io(message);
  }

  const std::string path_;
  const std::string partial_;
  int fd_ = -1;
};

}  // namespace

Status WriteTensor(std::string_view tensor, uint64_t bytes, const TensorSource& source,
                   const ByteSink& sink) {
  uint64_t given = 0;
  GYRATOR_RETURN_IF_ERROR(source([&](ByteSpan piece) -> Status {
    given += piece.size();
    return given <= bytes ? sink(piece) : Status();  // too many: refused below
  }));
  if (given == bytes) return {};
  return Status::InvalidArgument("tensor '" + std::string(tensor) + "': " + std::to_string(given) +
                                 " bytes given, expected " + std::to_string(bytes));
}

Status WriteWholeFile(const std::string& path,
                      const std::function<Status(const ByteSink&)>& write) {
  PartialFile file(path);
  GYRATOR_RETURN_IF_ERROR(file.Create());
  GYRATOR_RETURN_IF_ERROR(write([&file](ByteSpan bytes) { return file.Write(bytes); }));
  return file.Commit();
}

}  // namespace gyrator

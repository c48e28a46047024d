#include "formats/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/fs.h"
#include "base/posix.h"

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

  // A link that somebody planted is removed, not followed; so is what a killed writer left. A
  // writer that is at work holds its file: kIo "busy".
  Status Create() {
    constexpr int kAttempts = 8;  // of which all but the first find something to remove
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
      if (fd_ >= 0) return ::flock(fd_, LOCK_EX | LOCK_NB) == 0 ? Status() : Failed("lock");
      if (errno != EEXIST) return Failed("create");
      const Descriptor left(
          ::open(partial_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      // A link (ELOOP) and a device (ENXIO) have no writer; what cannot be opened may have one.
      if (left.get() < 0 && errno != ENOENT && errno != ELOOP && errno != ENXIO) {
        return Failed("open");
      }
      if (left.get() >= 0 && ::flock(left.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) return Failed("lock");
        return Status::Io(partial_ + ": being written by another process").Named("busy");
      }
      if (::unlink(partial_.c_str()) != 0 && errno != ENOENT) return Failed("remove");
    }
    return Failed("create");
  }

  Status Write(ByteSpan bytes) {
    const FileSizeSignalBlocked blocked;
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
    // The new file has its name now. Without this sync a power cut may bring the old one back,
    // whole as well: that is no failure to report for a file that is there.
    (void)PosixFileSystem().SyncDirectory(ParentPath(path_));
    return {};
  }

 private:
  Status Failed(const char* call) const { return ErrnoStatus(path_, call, errno); }

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

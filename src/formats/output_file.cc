#include "formats/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/fs.h"
#include "base/posix.h"

namespace gyrator {

namespace {

Status WriteAll(int fd, const std::string& path, ByteSpan bytes) {
  const FileSizeSignalBlocked blocked;
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(path, "write", errno);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

// Whether `path` itself, followed by no link, is the file of `fd`.
bool LeadsTo(const std::string& path, int fd) {
  struct stat named = {}, open = {};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &open) == 0 &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

// `path`.partial until Commit; removed without it. Who locks the file that the name leads to, and
// sees that it still does, may remove or rename it, and nobody else.
class PartialFile {
 public:
  explicit PartialFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {}
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile() {
    if (fd_ < 0) return;
    if (LeadsTo(partial_, fd_)) ::unlink(partial_.c_str());
    ::close(fd_);
  }

  // A link that somebody planted is removed, not followed; so is what a killed writer left. A
  // writer that is at work holds its file: kIo "busy".
  Status Create() {
    constexpr int kAttempts = 8;  // of which all but the first find something to remove
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      Descriptor made(
          ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
      if (made.get() < 0 && errno != EEXIST) return Failed("create");
      if (made.get() < 0) {
        GYRATOR_RETURN_IF_ERROR(RemoveLeftover());
        continue;
      }
      if (::flock(made.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) continue;  // another writer takes it for a leftover
        Status failed = Failed("lock");
        ::unlink(partial_.c_str());
        return failed;
      }
      if (!LeadsTo(partial_, made.get())) continue;  // another writer did
      fd_ = made.release();
      return {};
    }
    return Busy();
  }

  Status Write(ByteSpan bytes) { return WriteAll(fd_, path_, bytes); }

  Status Commit() {
    if (::fsync(fd_) != 0) return Failed("fsync");
    if (!LeadsTo(partial_, fd_)) {
      return Status::Io(partial_ + ": it was removed or replaced while it was written");
    }
    if (std::rename(partial_.c_str(), path_.c_str()) != 0) return Failed("rename");
    ::close(std::exchange(fd_, -1));
    // The new file has its name now. Without this sync a power cut may bring the old one back,
    // whole as well: that is no failure to report for a file that is there.
    (void)PosixFileSystem().SyncDirectory(ParentPath(path_));
    return {};
  }

 private:
  Status RemoveLeftover() const {
    const Descriptor left(::open(partial_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    // A link (ELOOP) and a device (ENXIO) have no writer; what cannot be opened may have one.
    if (left.get() < 0 && errno == ENOENT) return {};
    if (left.get() < 0 && errno != ELOOP && errno != ENXIO) return Failed("open");
    if (left.get() >= 0 && ::flock(left.get(), LOCK_EX | LOCK_NB) != 0) {
      return errno == EWOULDBLOCK ? Busy() : Failed("lock");
    }
    if (left.get() >= 0 && !LeadsTo(partial_, left.get())) return {};  // gone, or another's by now
    return ::unlink(partial_.c_str()) == 0 || errno == ENOENT ? Status() : Failed("remove");
  }
  Status Busy() const {
    return Status::Io(partial_ + ": being written by another process").Named("busy");
  }
  Status Failed(const char* call) const { return ErrnoStatus(path_, call, errno); }

  const std::string path_;
  const std::string partial_;
  int fd_ = -1;
};

// A pipe or a device has no old content to keep and is nothing to put a file in the place of.
Status WriteThrough(const std::string& path, const std::function<Status(const ByteSink&)>& write) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus(path, "open", errno);
  return write([&](ByteSpan bytes) { return WriteAll(file.get(), path, bytes); });
}

// The file that `path` leads to, which a link at `path` is left to lead to.
Result<std::string> BehindLinks(const std::string& path) {
  struct stat about = {};
  if (::lstat(path.c_str(), &about) != 0 || !S_ISLNK(about.st_mode)) return path;
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  if (real == nullptr) return ErrnoStatus(path, "follow link", errno);
  return std::string(real.get());
}

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
  struct stat about = {};
  if (::stat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode)) {
    return WriteThrough(path, write);
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string target, BehindLinks(path));
  PartialFile file(target);
  GYRATOR_RETURN_IF_ERROR(file.Create());
  GYRATOR_RETURN_IF_ERROR(write([&file](ByteSpan bytes) { return file.Write(bytes); }));
  return file.Commit();
}

}  // namespace gyrator

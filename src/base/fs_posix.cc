// FileSystem on POSIX calls.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/fs.h"
#include "base/posix.h"

namespace gyrator {

namespace {

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  Status Append(ByteSpan bytes) override {
    const FileSizeSignalBlocked blocked;
    while (!bytes.empty()) {
      const ssize_t put = ::write(fd_.get(), bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return ErrnoStatus(path_, "write", errno);
      bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return {};
  }
  Status Sync() override {
    if (::fsync(fd_.get()) != 0) return ErrnoStatus(path_, "fsync", errno);
    return {};
  }
  Status Close() override {
    if (::close(fd_.release()) != 0) return ErrnoStatus(path_, "close", errno);
    return {};
  }

 private:
  const std::string path_;
  Descriptor fd_;
};

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(std::string path, int fd, const struct stat& info)
      : path_(std::move(path)), fd_(fd), size_(static_cast<uint64_t>(info.st_size)) {
    // Fewer blocks than bytes are also what a file system that compresses has: ask it as well.
    const bool short_of_blocks =
        uint64_t{kBlockBytes} * static_cast<uint64_t>(info.st_blocks) < size_;
    const off_t hole = short_of_blocks ? ::lseek(fd_.get(), 0, SEEK_HOLE) : -1;  // -1: not known
    has_holes_ = hole >= 0 && hole < info.st_size;
  }

  uint64_t size() const override { return size_; }
  bool has_holes() const override { return has_holes_; }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const ssize_t got = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(path_, "read", errno);
      if (got == 0) return Status::Corruption("ends at byte " + std::to_string(offset));
      offset += static_cast<uint64_t>(got);
      out = out.subspan(static_cast<size_t>(got));
    }
    return {};
  }

 private:
  static constexpr int kBlockBytes = 512;  // of st_blocks, whatever the file system's are

  const std::string path_;
  Descriptor fd_;
  const uint64_t size_;
  bool has_holes_ = false;
};

// Whether `path` still names what `fd` is open on.
Result<bool> IsStillAt(const std::string& path, int fd) {
  struct stat opened, there;
  if (::fstat(fd, &opened) != 0) return ErrnoStatus(path, "fstat", errno);
  if (::stat(path.c_str(), &there) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus(path, "stat", errno);
  }
  return opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}

 private:
  Descriptor fd_;  // closing it releases the lock
};

class Posix final : public FileSystem {
 public:
  Result<FileInfo> Stat(const std::string& path) override {
    struct stat info;
    if (::lstat(path.c_str(), &info) != 0) return ErrnoStatus(path, "stat", errno);
    if (S_ISDIR(info.st_mode)) return FileInfo{FileKind::kDirectory, 0};
    if (!S_ISREG(info.st_mode)) return FileInfo{FileKind::kOther, 0};
    return FileInfo{FileKind::kFile, static_cast<uint64_t>(info.st_size)};
  }

  Result<std::vector<std::string>> List(const std::string& path) override {
    DIR* folder = ::opendir(path.c_str());
    if (folder == nullptr) return ErrnoStatus(path, "open folder", errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(folder)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    ::closedir(folder);
    if (error != 0) return ErrnoStatus(path, "read folder", error);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    // O_NONBLOCK: a fifo that somebody put there must not hang the open.
    Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd.get() < 0) return ErrnoStatus(path, "open", errno);
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(path, "stat", errno);
    if (!S_ISREG(info.st_mode)) return Status::InvalidArgument(path + ": not a regular file");
    return std::unique_ptr<ReadableFile>(
        std::make_unique<PosixReadableFile>(path, fd.release(), info));
  }

  Result<std::unique_ptr<WritableFile>> CreateFile(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return ErrnoStatus(path, "create", errno);
    return std::unique_ptr<WritableFile>(std::make_unique<PosixWritableFile>(path, fd));
  }

  Status CreateDirectory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0700) != 0) return ErrnoStatus(path, "create folder", errno);
    return {};
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      return ErrnoStatus(from, "rename to " + to, errno);
    }
    return {};
  }

  Status RemoveFile(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return ErrnoStatus(path, "remove", errno);
    return {};
  }

  Status RemoveDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) return ErrnoStatus(path, "remove folder", errno);
    return {};
  }

  Status SyncDirectory(const std::string& path) override {
    Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return ErrnoStatus(path, "open folder", errno);
    if (::fsync(fd.get()) != 0) return ErrnoStatus(path, "fsync folder", errno);
    return {};
  }

  Result<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs info;
    if (::statvfs(path.c_str(), &info) != 0) return ErrnoStatus(path, "statvfs", errno);
    return uint64_t{info.f_bavail} * info.f_frsize;
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path, LockMode mode) override {
    while (true) {
      GYRATOR_ASSIGN_OR_RETURN(Descriptor fd,
                               OpenLocked(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode));
      // A file that its holder has removed meanwhile is locked by nobody else: another one is.
      GYRATOR_ASSIGN_OR_RETURN(const bool stays, IsStillAt(path, fd.get()));
      if (!stays) continue;
      return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(fd.release()));
    }
  }

  Result<std::unique_ptr<FileLock>> LockDirectory(const std::string& path, LockMode mode) override {
    GYRATOR_ASSIGN_OR_RETURN(Descriptor fd,
                             OpenLocked(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, mode));
    GYRATOR_ASSIGN_OR_RETURN(const bool stays, IsStillAt(path, fd.get()));
    if (!stays) return ErrnoStatus(path, "lock", ENOENT);
    return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(fd.release()));
  }

 private:
  Result<Descriptor> OpenLocked(const std::string& path, int flags, LockMode mode) {
    Descriptor fd(::open(path.c_str(), flags, 0600));
    if (fd.get() < 0) return ErrnoStatus(path, "open lock", errno);
    const int operation = mode == LockMode::kShared ? LOCK_SH : LOCK_EX | LOCK_NB;
    int failed;
    do {
      failed = ::flock(fd.get(), operation);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0 && errno == EWOULDBLOCK) {
      return Status::Io(path + ": in use by another process").Named("busy");
    }
    if (failed != 0) return ErrnoStatus(path, "lock", errno);
    return fd;
  }
};

}  // namespace

FileSystem& PosixFileSystem() {
  static Posix fs;
  return fs;
}

}  // namespace gyrator

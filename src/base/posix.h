// What code on POSIX calls shares: the owner of a descriptor and the Status of an errno.
#pragma once

#include <signal.h>

#include <string>
#include <string_view>
#include <utility>

#include "gyrator/status.h"

namespace gyrator {

// Owns a descriptor (closed at destruction), or none (negative).
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// While it lives, a write beyond the process's limit of file size fails with EFBIG. Without it the
// kernel sends SIGXFSZ as well, which ends a program that does not handle it. For one thread.
class FileSizeSignalBlocked {
 public:
  FileSizeSignalBlocked();
  ~FileSizeSignalBlocked();
  FileSizeSignalBlocked(const FileSizeSignalBlocked&) = delete;
  FileSizeSignalBlocked& operator=(const FileSizeSignalBlocked&) = delete;

 private:
  sigset_t before_;
  bool was_pending_ = false;
};

// "<path>: <call>: <cause>" with the code and name that fs.h promises: kNotFound; kIo "exists" and
// "denied"; kExhausted "no_space" (disk, quota or the process's limit of file size); kIo "io".
Status ErrnoStatus(const std::string& path, std::string_view call, int error);

}  // namespace gyrator

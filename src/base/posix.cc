#include "base/posix.h"

#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace gyrator {

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

FileSizeSignalBlocked::FileSizeSignalBlocked() {
  sigset_t signals, pending;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGXFSZ);
  ::sigemptyset(&before_);
  ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  was_pending_ = ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGXFSZ) == 1;
}

FileSizeSignalBlocked::~FileSizeSignalBlocked() {
  const int error = errno;
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGXFSZ);
  const timespec at_once = {};
  // A signal that was pending before is not this thread's to take away.
  if (!was_pending_) ::sigtimedwait(&signals, nullptr, &at_once);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  errno = error;
}

Status ErrnoStatus(const std::string& path, std::string_view call, int error) {
  std::string message = path + ": " + std::string(call) + ": " + std::strerror(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Status::NotFound(std::move(message));
    case EEXIST:
    case ENOTEMPTY:
      return Status::Io(std::move(message)).Named("exists");
    case EACCES:
    case EPERM:
      return Status::Io(std::move(message)).Named("denied");
    case ENOMEM:
      return Status::Exhausted(std::move(message)).Named("memory");
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Status::Exhausted(std::move(message)).Named("no_space");
    default:
      return Status::Io(std::move(message)).Named("io");
  }
}

}  // namespace gyrator

#include "base/posix.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace gyrator {

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
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
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Status::Exhausted(std::move(message)).Named("no_space");
    default:
      return Status::Io(std::move(message)).Named("io");
  }
}

}  // namespace gyrator

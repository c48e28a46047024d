#include "cli/text_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/mapped_file.h"
#include "base/posix.h"

namespace gyrator::cli {

namespace {

constexpr uint64_t kBytesMax = uint64_t{1} << 30;

// All that a descriptor gives until its end.
Result<std::string> ReadStream(int fd, const std::string& name) {
  std::string text;
  char chunk[65536];
  while (true) {
    const ssize_t count = ::read(fd, chunk, sizeof(chunk));
    if (count < 0 && errno == EINTR) return Status::Cancelled("interrupted");
    if (count < 0) return Status::Io(name + ": " + std::strerror(errno));
    if (count == 0) return text;
    text.append(chunk, static_cast<size_t>(count));
    if (text.size() > kBytesMax) return Status::Exhausted(name + ": more than 1 GiB");
  }
}

}  // namespace

Result<std::string> ReadInput(const std::string& path) {
  if (path == "-") return ReadStream(STDIN_FILENO, "standard input");
  struct stat info;
  const bool streams = ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) &&
                       !S_ISDIR(info.st_mode);
  if (!streams) return ReadSmallFile(path, kBytesMax);
  const Descriptor stream(::open(path.c_str(), O_RDONLY | O_CLOEXEC));  // a pipe: waits for a writer
  if (stream.get() < 0 && errno == EINTR) return Status::Cancelled("interrupted");
  if (stream.get() < 0) return ErrnoStatus(path, "open", errno);
  return ReadStream(stream.get(), path);
}

}  // namespace gyrator::cli

#include "cli/text_input.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/mapped_file.h"

namespace gyrator::cli {

namespace {
constexpr uint64_t kBytesMax = uint64_t{1} << 30;
}  // namespace

Result<std::string> ReadInput(const std::string& path) {
  if (path != "-") return ReadSmallFile(path, kBytesMax);
  std::string text;
  char chunk[65536];
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, chunk, sizeof(chunk));
    if (count < 0 && errno == EINTR) return Status::Cancelled("interrupted");
    if (count < 0) return Status::Io(std::string("standard input: ") + std::strerror(errno));
    if (count == 0) return text;
    text.append(chunk, static_cast<size_t>(count));
    if (text.size() > kBytesMax) return Status::Exhausted("standard input: more than 1 GiB");
  }
}

}  // namespace gyrator::cli

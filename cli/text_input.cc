#include "cli/text_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/fs.h"

namespace gyrator::cli {

namespace {

constexpr uint64_t kBytesMax = uint64_t{1} << 30;

Result<std::string> ReadAll(int fd, const std::string& what) {
  std::string text;
  char chunk[65536];
  while (true) {
    const ssize_t count = ::read(fd, chunk, sizeof(chunk));
    if (count < 0 && errno == EINTR) return Status::Cancelled("interrupted");
    if (count < 0) return Status::Io(what + ": " + std::strerror(errno));
    if (count == 0) return text;
    text.append(chunk, static_cast<size_t>(count));
    if (text.size() > kBytesMax) return Status::Exhausted(what + ": more than 1 GiB");
  }
}

using About = struct stat;

// What `path` leads to; "-" is what is open as `standard`. Nothing when it cannot be told.
std::optional<About> Look(const std::string& path, int standard) {
  About about = {};
  const int failed = path == "-" ? ::fstat(standard, &about) : ::stat(path.c_str(), &about);
  return failed == 0 ? std::optional(about) : std::nullopt;
}

bool IsSame(const About& output, const std::string& input) {
  const std::optional<About> about = Look(input, STDIN_FILENO);
  return about && about->st_dev == output.st_dev && about->st_ino == output.st_ino;
}

// Whether the input is the output or, a folder, has it at any depth. kIo: the folder cannot be
// looked through.
Result<bool> Has(const std::string& input, const About& output) {
  if (IsSame(output, input)) return true;
  std::error_code error;
  if (input == "-" || !std::filesystem::is_directory(input, error)) return false;
  const std::filesystem::directory_iterator readable(input, error);
  if (error) return Status::Io(input + ": open folder: " + error.message()).Named("io");
  // A subfolder that is closed to the user cannot have been written either.
  constexpr auto kOptions = std::filesystem::directory_options::skip_permission_denied;
  for (std::filesystem::recursive_directory_iterator file(input, kOptions, error), end;
       !error && file != end; file.increment(error)) {
    if (IsSame(output, file->path().string())) return true;
  }
  if (error) return Status::Io(input + ": open folder: " + error.message()).Named("io");
  return false;
}

}  // namespace

Status CheckOutput(const std::string& flag, const std::string& output,
                   std::initializer_list<std::string> inputs) {
  const std::optional<About> about = Look(output.empty() ? "-" : output, STDOUT_FILENO);
  if (about && S_ISDIR(about->st_mode)) {
    return Status::InvalidArgument(flag + " " + output + ": a file expected, found a folder");
  }
  std::error_code unknown;  // what cannot be told shows when the file is made
  if (!about && !std::filesystem::exists(ParentPath(output), unknown) && !unknown) {
    return Status::NotFound(flag + " " + output + ": no such folder");
  }
  if (!about || !S_ISREG(about->st_mode)) return {};  // nothing that could be emptied
  for (const std::string& input : inputs) {
    if (input.empty()) continue;
    GYRATOR_ASSIGN_OR_RETURN(const bool has, Has(input, *about));
    if (!has) continue;
    const std::string name = output.empty() ? "standard output" : flag + " " + output;
    return Status::InvalidArgument(name + ": another file than the input " + input +
                                   " expected, found the same one; it would be lost");
  }
  return {};
}

Result<std::string> ReadInput(const std::string& path) {
  if (path == "-") return ReadAll(STDIN_FILENO, "standard input");
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == EINTR) return Status::Cancelled("interrupted");  // a pipe that nobody writes to
    const std::string message = path + ": " + std::strerror(errno);
    return errno == ENOENT ? Status::NotFound(message) : Status::Io(message);
  }
  struct stat about = {};
  const bool folder = ::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
  Result<std::string> text =
      folder ? Status::InvalidArgument(path + ": a file or a pipe expected, found a folder")
             : ReadAll(fd, path);
  ::close(fd);
  return text;
}

}  // namespace gyrator::cli

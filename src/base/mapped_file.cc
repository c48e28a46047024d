#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace gyrator {

namespace {

Status OpenError(const std::string& path, int error) {
  const std::string message = path + ": " + std::strerror(error);
  return error == ENOENT || error == ENOTDIR ? Status::NotFound(message) : Status::Io(message);
}

// An open descriptor of a regular file and its size.
struct OpenedFile {
  int fd = -1;
  uint64_t bytes = 0;
  ~OpenedFile() {
    if (fd >= 0) ::close(fd);
  }
};

Status OpenRegular(const std::string& path, OpenedFile* out) {
  out->fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (out->fd < 0) return OpenError(path, errno);
  struct stat info;
  if (::fstat(out->fd, &info) != 0) return OpenError(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return Status::InvalidArgument(path + ": not a regular file");
  }
  out->bytes = static_cast<uint64_t>(info.st_size);
  return {};
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  OpenedFile file;
  GYRATOR_RETURN_IF_ERROR(OpenRegular(path, &file));
  MappedFile mapped;
  mapped.path_ = path;
  if (file.bytes == 0) return mapped;
  void* data = ::mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) return Status::Io(path + ": mmap: " + std::strerror(errno));
  mapped.bytes_ = {static_cast<const std::byte*>(data), file.bytes};
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

Result<std::string> ReadSmallFile(const std::string& path, uint64_t bytes_max) {
  OpenedFile file;
  GYRATOR_RETURN_IF_ERROR(OpenRegular(path, &file));
  if (file.bytes > bytes_max) {
    return Status::Exhausted(path + ": " + std::to_string(file.bytes) + " bytes, at most " +
                             std::to_string(bytes_max) + " are read");
  }
  std::string text(file.bytes, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file.fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status::Io(path + ": read: " + std::strerror(errno));
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

}  // namespace gyrator

#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace gyrator {

namespace {

// A link that leads nowhere is no absent file: who may do without the file must not take it for
// one.
Status OpenError(const std::string& path, int error) {
  struct stat info;
  const bool dangles = (error == ENOENT || error == ENOTDIR) && ::lstat(path.c_str(), &info) == 0 &&
                       S_ISLNK(info.st_mode);
  if (dangles) return Status::Io(path + ": a link to a file that is not there").Named("dangling");
  return ErrnoStatus(path, "open", error);
}

std::string_view KindName(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileStamp StampOf(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .bytes = static_cast<uint64_t>(info.st_size),
          .modified_ns = Nanoseconds(info.st_mtim),
          .changed_ns = Nanoseconds(info.st_ctim)};
}

// An open descriptor of a regular file and its stamp.
struct OpenedFile {
  Descriptor fd{-1};
  FileStamp stamp;
};

Result<OpenedFile> OpenRegular(const std::string& path) {
  // O_NONBLOCK: opening a pipe must not wait for its writer. Regular files do not know the flag.
  OpenedFile file{Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), {}};
  if (file.fd.get() < 0) return OpenError(path, errno);
  struct stat info;
  if (::fstat(file.fd.get(), &info) != 0) return OpenError(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return Status::InvalidArgument(path + ": not a regular file: expected one, found " +
                                   std::string(KindName(info.st_mode)));
  }
  file.stamp = StampOf(info);
  return file;
}

}  // namespace

Result<MappedFile> MappedFile::Open(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(OpenedFile file, OpenRegular(path));
  MappedFile mapped;
  mapped.path_ = path;
  mapped.stamp_ = file.stamp;
  if (file.stamp.bytes > 0) {
    void* data = ::mmap(nullptr, file.stamp.bytes, PROT_READ, MAP_SHARED, file.fd.get(), 0);
    if (data == MAP_FAILED) return ErrnoStatus(path, "mmap", errno);
    mapped.bytes_ = {static_cast<const std::byte*>(data), file.stamp.bytes};
  }
  mapped.fd_ = std::move(file.fd);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      stamp_(other.stamp_),
      fd_(std::move(other.fd_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  std::swap(stamp_, other.stamp_);
  std::swap(fd_, other.fd_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::Release(ByteSpan part) const {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes_.data());
  const auto from = std::max(begin, reinterpret_cast<uintptr_t>(part.data()));
  const auto to =
      std::min(begin + bytes_.size(), reinterpret_cast<uintptr_t>(part.data()) + part.size());
  const uintptr_t first = (from + page - 1) / page * page;
  const uintptr_t last = to / page * page;
  if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

Result<FileStamp> MappedFile::StampNow() const {
  struct stat info;
  if (::fstat(fd_.get(), &info) != 0) return ErrnoStatus(path_, "fstat", errno);
  return StampOf(info);
}

Result<std::string> ReadSmallFile(const std::string& path, uint64_t bytes_max) {
  GYRATOR_ASSIGN_OR_RETURN(const OpenedFile file, OpenRegular(path));
  if (file.stamp.bytes > bytes_max) {
    return Status::Exhausted(path + ": " + std::to_string(file.stamp.bytes) + " bytes, at most " +
                             std::to_string(bytes_max) + " are read");
  }
  std::string text(file.stamp.bytes, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file.fd.get(), text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(path, "read", errno);
    if (got == 0) {
      return Status::Io(path + ": ends at byte " + std::to_string(done) + " of " +
                        std::to_string(text.size()) + ": it was changed while it was read")
          .Named("changed");
    }
    done += static_cast<size_t>(got);
  }
  return text;
}

}  // namespace gyrator

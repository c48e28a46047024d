#include "kv/swap_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <string_view>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/fs.h"

namespace gyrator {

namespace {

constexpr std::string_view kPrefix = "gyrator-swap-";

// Takes decimal digits from the front of *text; false when there are none.
bool TakeNumber(std::string_view* text) {
  const size_t count = std::min(text->find_first_not_of("0123456789"), text->size());
  text->remove_prefix(count);
  return count > 0;
}

// "gyrator-swap-<process id>-<number>", and nothing after it.
bool IsSwapName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  if (!TakeNumber(&name) || !name.starts_with('-')) return false;
  name.remove_prefix(1);
  return TakeNumber(&name) && name.empty();
}

// 0, or the errno: EWOULDBLOCK when somebody else has it.
int TryLock(const Descriptor& file) {
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// Removes what a process left that was killed between creation and unlink of its file. In doubt
// the file stays: it is empty.
void RemoveIfStale(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0 || TryLock(file) != 0) return;
  struct stat opened, named;
  if (::fstat(file.get(), &opened) != 0 || ::lstat(path.c_str(), &named) != 0) return;
  // Before the lock was ours the owner may have gone on, and another file taken the name.
  if (named.st_dev != opened.st_dev || named.st_ino != opened.st_ino) return;
  if (!S_ISREG(named.st_mode) || named.st_size != 0 || named.st_uid != ::geteuid()) return;
  ::unlink(path.c_str());
}

Status RemoveStaleFiles(const std::string& directory) {
  GYRATOR_ASSIGN_OR_RETURN(const auto names, PosixFileSystem().List(directory));
  for (const std::string& name : names) {
    if (IsSwapName(name)) RemoveIfStale(JoinPath(directory, name));
  }
  return {};
}

// An empty file without a name; *path is the one it had.
Result<Descriptor> OpenNameless(const std::string& directory, std::string* path) {
  constexpr int kTries = 1000;  // names that others have: containers may have the same process id
  const std::string stem = std::string(kPrefix) + std::to_string(::getpid()) + "-";
  for (int i = 0; i < kTries; ++i) {
    *path = JoinPath(directory, stem + std::to_string(i));
    Descriptor file(::open(path->c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (file.get() < 0 && errno == EEXIST) continue;
    if (file.get() < 0) return ErrnoStatus(*path, "create", errno);
    const int lock_error = TryLock(file);
    if (lock_error == EWOULDBLOCK) continue;  // RemoveIfStale elsewhere was faster: it is lost
    struct stat info;
    if (::fstat(file.get(), &info) != 0) return ErrnoStatus(*path, "stat", errno);
    // No name is left when RemoveIfStale was done with it before it was locked. From here on the
    // lock keeps it away, so that the name, if any, is this file's.
    if (info.st_nlink > 0 && ::unlink(path->c_str()) != 0) {
      return ErrnoStatus(*path, "unlink", errno);
    }
    if (lock_error != 0) return ErrnoStatus(*path, "lock", lock_error);
    return file;
  }
  return Status::Io(JoinPath(directory, stem) + "*: all " + std::to_string(kTries) +
                    " names for a swap file are taken")
      .Named("exists");
}

std::string Hex(uint32_t value) {
  char text[11];
  std::snprintf(text, sizeof(text), "0x%08x", value);
  return text;
}

// Whole blocks under the cap: counted in 32 bits, their bytes in the system's 63.
uint64_t SlotsMax(const SwapFileOptions& options) {
  const uint64_t bytes = std::min<uint64_t>(options.bytes_max, std::numeric_limits<off_t>::max());
  return std::min<uint64_t>(bytes / static_cast<uint64_t>(options.block_bytes),
                            std::numeric_limits<uint32_t>::max());
}

}  // namespace

Result<std::unique_ptr<SwapFile>> SwapFile::Create(const SwapFileOptions& options) {
  GYRATOR_CHECK(options.block_bytes > 0);
  if (SlotsMax(options) == 0) {
    return Status::InvalidArgument("swap: a cap of at least one block (" +
                                   std::to_string(options.block_bytes) + " bytes) expected, " +
                                   std::to_string(options.bytes_max) + " found");
  }
  GYRATOR_RETURN_IF_ERROR(RemoveStaleFiles(options.directory));
  std::string path;
  GYRATOR_ASSIGN_OR_RETURN(Descriptor file, OpenNameless(options.directory, &path));
  return std::unique_ptr<SwapFile>(new SwapFile(std::move(file), std::move(path), options));
}

SwapFile::SwapFile(Descriptor file, std::string path, const SwapFileOptions& options)
    : file_(std::move(file)),
      path_(std::move(path)),
      block_bytes_(static_cast<uint64_t>(options.block_bytes)),
      num_slots_max_(SlotsMax(options)) {
  stats_.bytes_max = options.bytes_max;
}

Result<uint32_t> SwapFile::Write(BlockPieces pieces) {
  auto slot = WriteSlot(pieces);
  ++(slot.ok() ? stats_.blocks_written : stats_.writes_failed);
  return slot;
}

Status SwapFile::Read(uint32_t slot, BlockPieces pieces) {
  Status status = ReadSlot(slot, pieces);
  ++(status.ok() ? stats_.blocks_read : stats_.reads_failed);
  return status;
}

void SwapFile::Free(uint32_t slot) {
  GYRATOR_CHECK(IsAllocated(slot));
  crcs_[slot].reset();
  free_.push(slot);
}

SwapStats SwapFile::stats() const {
  SwapStats stats = stats_;
  stats.blocks_in_use = NumAllocated();
  stats.bytes_in_use = NumAllocated() * block_bytes_;
  return stats;
}

Result<uint32_t> SwapFile::WriteSlot(BlockPieces pieces) {
  CheckPieces(pieces);
  if (NumAllocated() == num_slots_max_) {
    return Status::Exhausted(path_ + ": swap is full: " + std::to_string(stats().bytes_in_use) +
                             " of at most " + std::to_string(stats_.bytes_max) + " bytes in use, " +
                             std::to_string(block_bytes_) + " more wanted")
        .Named("swap_full");
  }
  const bool is_new = free_.empty();
  const uint32_t slot = is_new ? static_cast<uint32_t>(crcs_.size()) : free_.top();
  uint64_t offset = slot * block_bytes_;
  uint32_t crc = 0;
  for (const auto piece : pieces) {
    Status status = WriteAt(offset, piece);
    if (!status.ok()) return std::move(status).Annotate(NameOf(slot));
    crc = Crc32cExtend(crc, piece);
    offset += piece.size();
  }
  if (is_new) {
    crcs_.emplace_back(crc);
  } else {
    free_.pop();
    crcs_[slot] = crc;
  }
  return slot;
}

Status SwapFile::ReadSlot(uint32_t slot, BlockPieces pieces) {
  GYRATOR_CHECK(IsAllocated(slot));
  CheckPieces(pieces);
  uint64_t offset = slot * block_bytes_;
  uint32_t crc = 0;
  for (const auto piece : pieces) {
    Status status = ReadAt(offset, piece);
    if (!status.ok()) return std::move(status).Annotate(NameOf(slot));
    crc = Crc32cExtend(crc, piece);
    offset += piece.size();
  }
  if (crc == *crcs_[slot]) return {};
  return Status::Corruption(NameOf(slot) + ": crc32c " + Hex(*crcs_[slot]) + " expected, " +
                            Hex(crc) + " found in " + path_)
      .Named("swap_damaged");
}

Status SwapFile::WriteAt(uint64_t offset, std::span<const std::byte> bytes) {
  const FileSizeSignalBlocked blocked;
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus(path_, "write", errno);
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

Status SwapFile::ReadAt(uint64_t offset, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t got =
        ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(path_, "read", errno);
    if (got == 0) {
      return Status::Corruption(path_ + ": " + std::to_string(bytes.size()) +
                                " more bytes expected at byte " + std::to_string(offset) +
                                ", end of file found")
          .Named("swap_damaged");
    }
    offset += static_cast<uint64_t>(got);
    bytes = bytes.subspan(static_cast<size_t>(got));
  }
  return {};
}

void SwapFile::CheckPieces(BlockPieces pieces) const {
  uint64_t bytes = 0;
  for (const auto piece : pieces) bytes += piece.size();
  GYRATOR_CHECK(bytes == block_bytes_);
}

bool SwapFile::IsAllocated(uint32_t slot) const {
  return slot < crcs_.size() && crcs_[slot].has_value();
}

std::string SwapFile::NameOf(uint32_t slot) const { return "swap slot " + std::to_string(slot); }

}  // namespace gyrator

// A file system that fails at the N-th operation of another one.
//
// Counted are the operations that change something (create, append, sync, close, rename, remove,
// sync of a directory, lock) and, on request, those that read. To test a piece of code: run it once
// without a fault, read operations(), then run it again for every N below that.
#pragma once

#include <cstdint>
#include <memory>

#include "base/fs.h"

namespace gyrator {

struct FaultPlan {
  uint64_t at = UINT64_MAX;  // index of the operation that fails
  // The failure: "io", "no_space" or "busy".
  std::string error = "io";
  // The process dies: this and every later operation fails, nothing reaches the disk any more.
  bool crash = false;
  // An append that fails writes the first half of its bytes.
  bool tear_append = true;
  bool count_reads = false;
};

// Does not own `base`. Files and locks must not outlive it. One thread at a time.
class FaultFileSystem final : public FileSystem {
 public:
  FaultFileSystem(FileSystem* base, FaultPlan plan) : base_(base), plan_(std::move(plan)) {}

  uint64_t operations() const { return operations_; }
  bool fired() const { return operations_ > plan_.at; }

  Result<FileInfo> Stat(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& path) override;
  Result<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override;
  Result<std::unique_ptr<WritableFile>> CreateFile(const std::string& path) override;
  Status CreateDirectory(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status RemoveFile(const std::string& path) override;
  Status RemoveDirectory(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Result<uint64_t> FreeBytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path, LockMode mode) override;
  Result<std::unique_ptr<FileLock>> LockDirectory(const std::string& path, LockMode mode) override;

 private:
  friend class FaultWritableFile;
  friend class FaultReadableFile;

  // Counts one operation; the failure when it is the one, or when the process is dead.
  Status Step(const std::string& path, std::string_view what);
  Status ReadStep(const std::string& path, std::string_view what);

  FileSystem* base_;
  const FaultPlan plan_;
  uint64_t operations_ = 0;
};

}  // namespace gyrator

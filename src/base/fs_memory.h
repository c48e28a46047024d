// A file system in memory that knows what was synced, to test what a power cut leaves behind.
#pragma once

#include <cstdint>
#include <memory>

#include "base/fs.h"

namespace gyrator {

// What a crash keeps.
enum class CrashMode : uint8_t {
  kKeepAll,       // the process was killed: the system writes everything later
  kDropUnsynced,  // power cut: only synced file contents and synced directory entries remain
  kTorn,  // power cut: of each file and each directory either is kept, or, of a file that grew,
          // a part with zeros behind it (seeded)
};

// "/" exists. Not bounded unless SetFreeBytes was called. Locks live until Crash. One thread at a
// time.
class MemoryFileSystem final : public FileSystem {
 public:
  MemoryFileSystem();
  ~MemoryFileSystem() override;

  // Forgets what the mode says; every open file and lock is dead afterwards (kIo).
  void Crash(CrashMode mode, uint64_t seed = 0);
  // Appends beyond this many more bytes fail with "no_space".
  void SetFreeBytes(uint64_t bytes) { free_bytes_ = bytes; }
  // Overwrites the content of a file as damage does. REQUIRES: the file exists.
  void Damage(const std::string& path, std::string content);

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
  friend class MemoryWritableFile;
  friend class MemoryLock;
  struct Node;
  struct Place;  // a directory and a name in it

  Result<std::shared_ptr<Node>> Find(const std::string& path) const;
  Result<Place> FindPlace(const std::string& path) const;

  std::shared_ptr<Node> root_;
  std::shared_ptr<uint64_t> generation_;  // counts crashes; files of an older one are dead
  uint64_t free_bytes_ = uint64_t{1} << 40;
};

}  // namespace gyrator

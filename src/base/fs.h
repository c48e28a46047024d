// The file system behind one interface, so that every save and load can be tested against a memory
// with lost writes (fs_memory.h) and against faults at every operation (fs_fault.h).
//
// Does: the few operations that durable files need. Does not: buffer, cache, retry, or follow a
// symbolic link in the last part of a path that is opened or asked about (a link is "not a regular
// file"). Paths are UTF-8 with '/'.
//
// Errors everywhere: kNotFound when a part of the path does not exist; kIo named "exists" when a
// thing that must not exist does; kExhausted named "no_space" when the disk, the quota or the
// process's limit of file size is used up (no signal is raised then); kIo named "denied" when a
// permission is missing; kIo named "io" for the rest, with path and cause. Thread safety: a
// FileSystem is safe for concurrent use on different paths, a file or lock for one thread at a
// time.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "gyrator/status.h"

namespace gyrator {

// A new file that grows at its end. Closed at destruction, without a sync.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  virtual Status Append(ByteSpan bytes) = 0;
  // fsync. After a failure the file's content is unknown: throw it away and write another (a second
  // fsync may report success for pages that were lost).
  virtual Status Sync() = 0;
  virtual Status Close() = 0;
};

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual uint64_t size() const = 0;  // when it was opened
  // Whether parts of the file take no room on the disk and are read as zeros.
  virtual bool has_holes() const { return false; }
  // Fills `out` from `offset`. kCorruption when the file ends before.
  virtual Status ReadAt(uint64_t offset, std::span<std::byte> out) const = 0;
};

// Held until destruction, or until the process ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class FileKind : uint8_t { kFile, kDirectory, kOther };
struct FileInfo {
  FileKind kind = FileKind::kOther;
  uint64_t bytes = 0;  // of a file
};

enum class LockMode : uint8_t { kShared, kExclusive };

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<FileInfo> Stat(const std::string& path) = 0;
  // Names in a directory, sorted by bytes, without "." and "..".
  virtual Result<std::vector<std::string>> List(const std::string& path) = 0;
  // Opens a regular file; anything else is kInvalidArgument.
  virtual Result<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) = 0;
  // Makes a file that did not exist ("exists" otherwise).
  virtual Result<std::unique_ptr<WritableFile>> CreateFile(const std::string& path) = 0;
  // "exists" when anything is there already; the parent must exist.
  virtual Status CreateDirectory(const std::string& path) = 0;
  // Atomic. A file replaces a file; a directory does not replace one that is not empty ("exists").
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status RemoveFile(const std::string& path) = 0;
  virtual Status RemoveDirectory(const std::string& path) = 0;  // empty
  // Makes the entries of a directory durable: what was created, renamed or removed in it.
  virtual Status SyncDirectory(const std::string& path) = 0;
  // Bytes that can still be written below `path`.
  virtual Result<uint64_t> FreeBytes(const std::string& path) = 0;
  // Locks the file `path`, made if needed. Only who holds it exclusively may remove the file.
  // kExclusive does not wait: kIo named "busy" when another process or another lock of this one
  // holds it. kShared waits for an exclusive one to end.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path, LockMode mode) = 0;
  // Locks the directory `path`, which must exist: kNotFound, also when it was removed while this
  // call waited. Modes as above. Nothing is written.
  virtual Result<std::unique_ptr<FileLock>> LockDirectory(const std::string& path,
                                                          LockMode mode) = 0;
};

// The machine's own. Lives for ever.
FileSystem& PosixFileSystem();

std::string JoinPath(std::string_view folder, std::string_view name);
// The part before the last '/': "." when there is none.
std::string ParentPath(std::string_view path);

// The whole of a file of at most `bytes_max` bytes (kExhausted when larger).
Result<std::string> ReadFile(FileSystem& fs, const std::string& path, uint64_t bytes_max);
// Creates, appends, syncs and closes. The directory entry is not synced.
Status WriteNewFile(FileSystem& fs, const std::string& path, ByteSpan bytes);
// Replaces `path`, or creates it: whole old or whole new content after a crash at any moment, and
// durable on success. Uses `path`.tmp beside it, which must belong to one writer at a time.
Status ReplaceFile(FileSystem& fs, const std::string& path, ByteSpan bytes);
// Makes `path` and what is missing above it. Each made entry is synced.
Status CreateDirectories(FileSystem& fs, const std::string& path);
// Syncs every directory below and including `temp` (its files must be synced already), renames it
// to `final`, which lies in the same directory, and syncs that. `temp` becomes visible as `final`
// whole or not at all.
Status CommitFolder(FileSystem& fs, const std::string& temp, const std::string& final_path);
// Removes a file, or a folder with all below it. Success when there was none. Links are removed,
// not followed.
Status RemoveTree(FileSystem& fs, const std::string& path);

}  // namespace gyrator

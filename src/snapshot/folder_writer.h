// Builds a snapshot folder beside its final place and makes it visible in one step.
//
// Order: claim a stamp (folder .tmp-<stamp>), files each synced, manifest last, folders synced,
// rename, parent synced. A crash at any moment leaves the complete folder or a .tmp- folder that
// the catalog sweeps. Does not know what the files mean. One thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "snapshot/manifest.h"

namespace gyrator {

inline constexpr std::string_view kTempPrefix = ".tmp-";  // of folders being built
inline constexpr std::string_view kRootLockFile =
    ".lock";  // shared by savers, exclusive: the sweep

class FolderWriter {
 public:
  // A file that is hashed while it is written.
  class File {
   public:
    Status Append(ByteSpan bytes);

   private:
    friend class FolderWriter;
    std::string path_;
    uint64_t bytes_ = 0;
    std::unique_ptr<Sha256> hash_ = std::make_unique<Sha256>();
    std::unique_ptr<WritableFile> file_;
  };

  // Makes `root` if needed and claims a stamp of `clock`'s second that no folder has.
  static Result<std::unique_ptr<FolderWriter>> Begin(FileSystem& fs, Clock& clock,
                                                     const std::string& root);
  // Removes what was not committed.
  ~FolderWriter();
  FolderWriter(const FolderWriter&) = delete;
  FolderWriter& operator=(const FolderWriter&) = delete;

  const std::string& stamp() const { return stamp_; }
  int32_t sequence() const { return sequence_; }  // among the folders of one second
  int64_t created_nanos() const { return created_nanos_; }
  std::string folder() const { return JoinPath(root_, stamp_); }  // where Commit puts it

  // kExhausted "no_space" names both when `bytes` more do not fit on the disk.
  Status RequireSpace(uint64_t bytes) const;
  // `path` is relative, at most one folder deep.
  Result<File> Create(std::string_view path);
  // Syncs and closes `file`, and lists it in the manifest.
  Status Finish(File file);
  Status Add(std::string_view path, ByteSpan bytes);  // Create, Append, Finish

  // Of the manifest of the files finished so far.
  std::string root_digest() const { return Manifest::FromEntries(entries_).root(); }
  // Writes the manifest of all finished files and commits the folder.
  Result<Manifest> Commit();
  // Commits the folder with the bytes of a manifest that was added as a file (a copied folder).
  Status CommitAsIs();

 private:
  FolderWriter(FileSystem& fs, std::string root) : fs_(fs), root_(std::move(root)) {}
  Status Claim(Clock& clock);

  FileSystem& fs_;
  const std::string root_;
  std::unique_ptr<FileLock> lock_;
  std::string stamp_, temp_;
  int32_t sequence_ = 0;
  int64_t created_nanos_ = 0;
  bool committed_ = false;
  std::vector<ManifestEntry> entries_;
};

}  // namespace gyrator

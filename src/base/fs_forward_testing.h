// A file system that hands everything on to another one: tests override what they need.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fs.h"

namespace gyrator {

class ForwardingFileSystem : public FileSystem {
 public:
  explicit ForwardingFileSystem(FileSystem* base) : base_(base) {}

  Result<FileInfo> Stat(const std::string& path) override { return base_->Stat(path); }
  Result<std::vector<std::string>> List(const std::string& path) override {
    return base_->List(path);
  }
  Result<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    return base_->OpenForRead(path);
  }
  Result<std::unique_ptr<WritableFile>> CreateFile(const std::string& path) override {
    return base_->CreateFile(path);
  }
  Status CreateDirectory(const std::string& path) override { return base_->CreateDirectory(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return base_->Rename(from, to);
  }
  Status RemoveFile(const std::string& path) override { return base_->RemoveFile(path); }
  Status RemoveDirectory(const std::string& path) override { return base_->RemoveDirectory(path); }
  Status SyncDirectory(const std::string& path) override { return base_->SyncDirectory(path); }
  Result<uint64_t> FreeBytes(const std::string& path) override { return base_->FreeBytes(path); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path, LockMode mode) override {
    return base_->Lock(path, mode);
  }
  Result<std::unique_ptr<FileLock>> LockDirectory(const std::string& path, LockMode mode) override {
    return base_->LockDirectory(path, mode);
  }

 private:
  FileSystem* base_;
};

}  // namespace gyrator

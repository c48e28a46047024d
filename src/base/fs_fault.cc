#include "base/fs_fault.h"

namespace gyrator {

class FaultWritableFile final : public WritableFile {
 public:
  FaultWritableFile(FaultFileSystem* fs, std::string path, std::unique_ptr<WritableFile> file)
      : fs_(fs), path_(std::move(path)), file_(std::move(file)) {}

  Status Append(ByteSpan bytes) override {
    const bool this_one = fs_->operations_ == fs_->plan_.at;
    Status fault = fs_->Step(path_, "write");
    if (fault.ok()) return file_->Append(bytes);
    if (this_one && fs_->plan_.tear_append) {
      (void)file_->Append(bytes.first(bytes.size() / 2));  // the fault is what is reported
    }
    return fault;
  }
  Status Sync() override {
    GYRATOR_RETURN_IF_ERROR(fs_->Step(path_, "fsync"));
    return file_->Sync();
  }
  Status Close() override {
    GYRATOR_RETURN_IF_ERROR(fs_->Step(path_, "close"));
    return file_->Close();
  }

 private:
  FaultFileSystem* fs_;
  const std::string path_;
  std::unique_ptr<WritableFile> file_;
};

class FaultReadableFile final : public ReadableFile {
 public:
  FaultReadableFile(FaultFileSystem* fs, std::string path, std::unique_ptr<ReadableFile> file)
      : fs_(fs), path_(std::move(path)), file_(std::move(file)) {}

  uint64_t size() const override { return file_->size(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    GYRATOR_RETURN_IF_ERROR(fs_->ReadStep(path_, "read"));
    return file_->ReadAt(offset, out);
  }

 private:
  FaultFileSystem* fs_;
  const std::string path_;
  std::unique_ptr<ReadableFile> file_;
};

Status FaultFileSystem::Step(const std::string& path, std::string_view what) {
  const uint64_t index = operations_++;
  if (index != plan_.at && !(plan_.crash && index > plan_.at)) return {};
  std::string message = path + ": " + std::string(what) + ": injected fault";
  if (plan_.error == "no_space") return Status::Exhausted(std::move(message)).Named("no_space");
  return Status::Io(std::move(message)).Named(plan_.error);
}

Status FaultFileSystem::ReadStep(const std::string& path, std::string_view what) {
  if (plan_.count_reads) return Step(path, what);
  if (!plan_.crash || operations_ <= plan_.at) return {};
  return Status::Io(path + ": " + std::string(what) + ": injected fault").Named("io");
}

Result<FileInfo> FaultFileSystem::Stat(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(ReadStep(path, "stat"));
  return base_->Stat(path);
}

Result<std::vector<std::string>> FaultFileSystem::List(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(ReadStep(path, "list"));
  return base_->List(path);
}

Result<std::unique_ptr<ReadableFile>> FaultFileSystem::OpenForRead(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(ReadStep(path, "open"));
  GYRATOR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, base_->OpenForRead(path));
  return std::unique_ptr<ReadableFile>(
      std::make_unique<FaultReadableFile>(this, path, std::move(file)));
}

Result<std::unique_ptr<WritableFile>> FaultFileSystem::CreateFile(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(Step(path, "create"));
  GYRATOR_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, base_->CreateFile(path));
  return std::unique_ptr<WritableFile>(
      std::make_unique<FaultWritableFile>(this, path, std::move(file)));
}

Status FaultFileSystem::CreateDirectory(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(Step(path, "create folder"));
  return base_->CreateDirectory(path);
}

Status FaultFileSystem::Rename(const std::string& from, const std::string& to) {
  GYRATOR_RETURN_IF_ERROR(Step(from, "rename"));
  return base_->Rename(from, to);
}

Status FaultFileSystem::RemoveFile(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(Step(path, "remove"));
  return base_->RemoveFile(path);
}

Status FaultFileSystem::RemoveDirectory(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(Step(path, "remove folder"));
  return base_->RemoveDirectory(path);
}

Status FaultFileSystem::SyncDirectory(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(Step(path, "fsync folder"));
  return base_->SyncDirectory(path);
}

Result<uint64_t> FaultFileSystem::FreeBytes(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(ReadStep(path, "statvfs"));
  return base_->FreeBytes(path);
}

Result<std::unique_ptr<FileLock>> FaultFileSystem::Lock(const std::string& path, LockMode mode) {
  GYRATOR_RETURN_IF_ERROR(Step(path, "lock"));
  return base_->Lock(path, mode);
}

Result<std::unique_ptr<FileLock>> FaultFileSystem::LockDirectory(const std::string& path,
                                                                 LockMode mode) {
  const bool reads = mode == LockMode::kShared;
  GYRATOR_RETURN_IF_ERROR(reads ? ReadStep(path, "lock folder") : Step(path, "lock folder"));
  return base_->LockDirectory(path, mode);
}

}  // namespace gyrator

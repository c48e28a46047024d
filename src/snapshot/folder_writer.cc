#include "snapshot/folder_writer.h"

#include <utility>

#include "snapshot/format.h"
#include "snapshot/stamp.h"

namespace gyrator {

namespace {

constexpr int32_t kSequenceMax = 1'000'000;

// kNotFound becomes false.
Result<bool> Exists(FileSystem& fs, const std::string& path) {
  const Result<FileInfo> info = fs.Stat(path);
  if (info.ok()) return true;
  if (info.status().code() == Code::kNotFound) return false;
  return info.status();
}

}  // namespace

Status FolderWriter::File::Append(ByteSpan bytes) {
  GYRATOR_RETURN_IF_ERROR(file_->Append(bytes));
  hash_->Update(bytes);
  bytes_ += bytes.size();
  return {};
}

Result<std::unique_ptr<FolderWriter>> FolderWriter::Begin(FileSystem& fs, Clock& clock,
                                                          const std::string& root) {
  std::unique_ptr<FolderWriter> writer(new FolderWriter(fs, root));
  GYRATOR_RETURN_IF_ERROR(CreateDirectories(fs, root));
  GYRATOR_ASSIGN_OR_RETURN(writer->lock_,
                           fs.Lock(JoinPath(root, kRootLockFile), LockMode::kShared));
  GYRATOR_RETURN_IF_ERROR(writer->Claim(clock));
  return writer;
}

Status FolderWriter::Claim(Clock& clock) {
  created_nanos_ = clock.NowNanos();
  // Highest sequence of this second + 1, so that a removed folder's number is not used again while
  // a later one lives.
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(root_));
  const std::string first = StampName(created_nanos_, 0);
  for (std::string_view name : names) {
    if (name.starts_with(kTempPrefix)) name.remove_prefix(kTempPrefix.size());
    if (name == first) sequence_ = std::max(sequence_, 1);
    if (!name.starts_with(first + "x") || !IsStamp(name)) continue;
    const std::string tail(name.substr(first.size() + 1));
    if (tail.size() > 6 || tail.find('x') != std::string::npos) continue;
    sequence_ = std::max(sequence_, std::stoi(tail) + 1);
  }
  for (; sequence_ < kSequenceMax; ++sequence_) {
    stamp_ = StampName(created_nanos_, sequence_);
    std::string temp = JoinPath(root_, std::string(kTempPrefix) + stamp_);
    Status made = fs_.CreateDirectory(temp);
    if (made.name() == "exists") continue;
    GYRATOR_RETURN_IF_ERROR(std::move(made));
    temp_ = std::move(temp);  // allocates nothing: the folder that is there now has its owner
    // Only now nobody else can take the stamp; was it taken before?
    GYRATOR_ASSIGN_OR_RETURN(const bool taken, Exists(fs_, folder()));
    if (!taken) return {};
    GYRATOR_RETURN_IF_ERROR(fs_.RemoveDirectory(std::exchange(temp_, {})));
  }
  return Status::Exhausted(root_ + ": no free name for a snapshot in this second")
      .Named("no_space");
}

FolderWriter::~FolderWriter() {
  // Best effort: what stays is swept later.
  if (!committed_ && !temp_.empty()) (void)RemoveTree(fs_, temp_);
}

Status FolderWriter::RequireSpace(uint64_t bytes) const {
  GYRATOR_ASSIGN_OR_RETURN(const uint64_t free, fs_.FreeBytes(root_));
  if (bytes <= free) return {};
  return Status::Exhausted(root_ + ": the snapshot needs " + std::to_string(bytes) +
                           " bytes, the disk has " + std::to_string(free) + " left")
      .Named("no_space");
}

Result<FolderWriter::File> FolderWriter::Create(std::string_view path) {
  const size_t slash = path.find('/');
  if (slash != std::string_view::npos) {
    Status made = fs_.CreateDirectory(JoinPath(temp_, path.substr(0, slash)));
    if (!made.ok() && made.name() != "exists") return made;
  }
  File file;
  file.path_ = path;
  GYRATOR_ASSIGN_OR_RETURN(file.file_, fs_.CreateFile(JoinPath(temp_, path)));
  return file;
}

Status FolderWriter::Finish(File file) {
  GYRATOR_RETURN_IF_ERROR(file.file_->Sync());
  GYRATOR_RETURN_IF_ERROR(file.file_->Close());
  entries_.push_back({std::move(file.path_), file.bytes_, HexText(file.hash_->Finish())});
  return {};
}

Status FolderWriter::Add(std::string_view path, ByteSpan bytes) {
  GYRATOR_ASSIGN_OR_RETURN(File file, Create(path));
  GYRATOR_RETURN_IF_ERROR(file.Append(bytes));
  return Finish(std::move(file));
}

Result<Manifest> FolderWriter::Commit() {
  Manifest manifest = Manifest::FromEntries(std::move(entries_));
  GYRATOR_RETURN_IF_ERROR(Add(kManifestFile, AsBytes(manifest.Serialize())));
  GYRATOR_RETURN_IF_ERROR(CommitAsIs());
  return manifest;
}

Status FolderWriter::CommitAsIs() {
  Status status = CommitFolder(fs_, temp_, folder());
  committed_ = status.ok();
  // The rename may have happened and its sync failed: what is not known to be durable goes.
  const Result<FileInfo> left = status.ok() ? FileInfo{} : fs_.Stat(temp_);
  if (!status.ok() && left.status().code() == Code::kNotFound) (void)RemoveTree(fs_, folder());
  return status;
}

}  // namespace gyrator

#include "snapshot/catalog.h"

#include <algorithm>
#include <set>

#include "snapshot/errors.h"
#include "snapshot/folder_files.h"
#include "snapshot/stamp.h"

namespace gyrator {

namespace {

constexpr std::string_view kIntentSuffix = ".intent";
constexpr std::string_view kLockSuffix = ".lock";
constexpr uint64_t kSmallFileMax = 4096;
constexpr size_t kCopyBytes = 256 << 10;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

bool TrueOrder(const CatalogEntry& a, const CatalogEntry& b) {
  const Protocol& x = a.summary.protocol;
  const Protocol& y = b.summary.protocol;
  if (x.created_nanos != y.created_nanos) return x.created_nanos < y.created_nanos;
  if (x.sequence != y.sequence) return x.sequence < y.sequence;
  if (a.stamp != b.stamp) return NaturalLess(a.stamp, b.stamp);
  return a.name < b.name;
}

// Copies one file of a folder into another that is being written.
Status CopyFile(FileSystem& fs, const std::string& folder, const std::string& path,
                FolderWriter& writer) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> in,
                           fs.OpenForRead(JoinPath(folder, path)));
  GYRATOR_ASSIGN_OR_RETURN(FolderWriter::File out, writer.Create(path));
  std::vector<std::byte> buffer(std::min<uint64_t>(kCopyBytes, in->size()));
  for (uint64_t at = 0; at < in->size(); at += buffer.size()) {
    const std::span<std::byte> piece(buffer.data(),
                                     std::min<uint64_t>(buffer.size(), in->size() - at));
    GYRATOR_RETURN_IF_ERROR(in->ReadAt(at, piece).Annotate(path));
    GYRATOR_RETURN_IF_ERROR(out.Append(piece));
  }
  return writer.Finish(std::move(out));
}

// Copies a folder that was verified; a full one must keep its root digest.
Status CopyFolder(FileSystem& fs, const Snapshot& from, FolderWriter& writer,
                  WrittenSnapshot* written) {
  GYRATOR_ASSIGN_OR_RETURN(const FolderFiles files, ListFolder(fs, from.folder));
  const bool full = from.verification == Verification::kFull;
  for (const auto& [path, bytes] : files) written->bytes += bytes;
  GYRATOR_RETURN_IF_ERROR(writer.RequireSpace(written->bytes));
  for (const auto& [path, bytes] : files) {
    if (full && path == kManifestFile) continue;
    GYRATOR_RETURN_IF_ERROR(CopyFile(fs, from.folder, path, writer));
  }
  if (!full) return writer.CommitAsIs();
  if (writer.root_digest() != from.manifest.root()) {
    return ManifestMismatch(from.folder, "changed while it was copied");
  }
  GYRATOR_ASSIGN_OR_RETURN(const Manifest manifest, writer.Commit());
  written->root_digest = manifest.root();
  return {};
}

}  // namespace

Status CheckContextName(std::string_view name) {
  const bool plain = !name.empty() && name.size() <= 64 && name[0] != '.' && name[0] != '-' &&
                     std::all_of(name.begin(), name.end(), IsNameCharacter);
  if (plain && !name.ends_with(".tmp") && !IsStamp(name)) return {};
  return Status::InvalidArgument(
      "name '" + std::string(name.substr(0, 80)) +
      "': expected 1 to 64 of A-Z a-z 0-9 _ - . , not starting with . or "
      "-, not ending in .tmp, not like a stamp");
}

Result<std::unique_ptr<FileLock>> Catalog::LockName(std::string_view name) {
  GYRATOR_RETURN_IF_ERROR(CheckContextName(name));
  return LockId(name);
}

Result<std::unique_ptr<FileLock>> Catalog::LockId(std::string_view id) {
  GYRATOR_RETURN_IF_ERROR(CreateDirectories(fs_, NamesFolder()));
  Result<std::unique_ptr<FileLock>> lock =
      fs_.Lock(HiddenPath(id, kLockSuffix), LockMode::kExclusive);
  if (lock.ok() || lock.status().name() != "busy") return lock;
  return Status::Io("context '" + std::string(id) + "': in use by another process").Named("busy");
}

Result<WrittenSnapshot> Catalog::Save(std::string_view name, const SnapshotSource& source,
                                      const WriteOptions& options, const FileLock* held) {
  GYRATOR_RETURN_IF_ERROR(CheckSource(source));
  return Publish(name, held, [&](FolderWriter& writer, WrittenSnapshot* written) -> Status {
    GYRATOR_RETURN_IF_ERROR(WriteElements(writer, source, options));
    GYRATOR_ASSIGN_OR_RETURN(const Manifest manifest, writer.Commit());
    written->root_digest = manifest.root();
    written->bytes = manifest.total_bytes();
    return {};
  });
}

Result<WrittenSnapshot> Catalog::Import(std::string_view name, const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(const Snapshot snapshot, VerifySnapshot(fs_, folder, {}));
  return Publish(name, nullptr, [&](FolderWriter& writer, WrittenSnapshot* written) {
    return CopyFolder(fs_, snapshot, writer, written);
  });
}

Result<WrittenSnapshot> Catalog::Publish(std::string_view name, const FileLock* held,
                                         const Fill& fill) {
  std::unique_ptr<FileLock> lock;
  std::string old;
  if (!name.empty()) {
    GYRATOR_RETURN_IF_ERROR(CheckContextName(name));
    if (held == nullptr) {
      GYRATOR_ASSIGN_OR_RETURN(lock, LockId(name));
    }
    GYRATOR_RETURN_IF_ERROR(Settle(name, nullptr));
    Result<std::string> current = ReadName(name);
    if (current.ok()) old = *std::move(current);
    if (!current.ok() && current.status().code() != Code::kNotFound) return current.status();
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<FolderWriter> writer,
                           FolderWriter::Begin(fs_, clock_, root_));
  WrittenSnapshot written{
      .folder = writer->folder(), .stamp = writer->stamp(), .root_digest = {}, .bytes = 0};
  if (name.empty()) {
    GYRATOR_RETURN_IF_ERROR(fill(*writer, &written));
    return written;
  }
  std::vector<std::string> garbage = {written.stamp};
  if (!old.empty()) garbage.push_back(old);
  GYRATOR_RETURN_IF_ERROR(WriteIntent(name, garbage));
  Status status = fill(*writer, &written);
  if (!status.ok()) {
    (void)Settle(name, nullptr);  // the failure to report is that of the save
    return status;
  }
  // When this fails, which of the two folders the name has after a power cut is not known: both
  // stay until Recover.
  GYRATOR_RETURN_IF_ERROR(ReplaceFile(fs_, NamePath(name), AsBytes(written.stamp + "\n")));
  // From here on the save is done; what stays of the old folder goes at the next chance.
  (void)Settle(name, nullptr);
  return written;
}

Result<std::string> Catalog::ReadName(std::string_view name) {
  GYRATOR_ASSIGN_OR_RETURN(std::string text, ReadFile(fs_, NamePath(name), kSmallFileMax));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (IsStamp(text)) return text;
  return StateInconsistent("names/" + std::string(name), "does not hold a stamp; remove it");
}

Result<std::vector<Catalog::Pointer>> Catalog::ReadNames() {
  std::vector<Pointer> pointers;
  const Result<std::vector<std::string>> names = fs_.List(NamesFolder());
  if (!names.ok()) {
    if (names.status().code() == Code::kNotFound) return pointers;
    return names.status();
  }
  for (const std::string& name : *names) {
    if (!CheckContextName(name).ok()) continue;  // locks, intents, temporary files
    Result<std::string> stamp = ReadName(name);
    if (stamp.status().code() == Code::kNotFound) continue;  // just removed
    pointers.push_back({name, stamp.ok() ? *stamp : std::string(), stamp.status()});
  }
  return pointers;
}

Status Catalog::WriteIntent(std::string_view id, const std::vector<std::string>& stamps) {
  std::string text;
  for (const std::string& stamp : stamps) text += stamp + "\n";
  return ReplaceFile(fs_, HiddenPath(id, kIntentSuffix), AsBytes(text));
}

Result<std::vector<std::string>> Catalog::ReadIntent(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(fs_, path, kSmallFileMax));
  std::vector<std::string> stamps;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    stamps.push_back(text.substr(begin, end - begin));
    if (!IsStamp(stamps.back())) return std::vector<std::string>();
    begin = end + 1;
  }
  return stamps;
}

Status Catalog::Settle(std::string_view id, std::vector<std::string>* removed) {
  const std::string path = HiddenPath(id, kIntentSuffix);
  const Result<std::vector<std::string>> stamps = ReadIntent(path);
  if (stamps.status().code() == Code::kNotFound) return {};
  GYRATOR_RETURN_IF_ERROR(stamps.status());
  // Names must be durable before a folder goes that one of them may point at after a power cut.
  GYRATOR_RETURN_IF_ERROR(fs_.SyncDirectory(NamesFolder()));
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Pointer> pointers, ReadNames());
  std::set<std::string> kept;
  for (const Pointer& pointer : pointers) {
    GYRATOR_RETURN_IF_ERROR(pointer.problem);  // it may point at any of them
    kept.insert(pointer.stamp);
  }
  for (const std::string& stamp : *stamps) {
    const std::string folder = JoinPath(root_, stamp);
    if (kept.contains(stamp) || !fs_.Stat(folder).ok()) continue;
    GYRATOR_RETURN_IF_ERROR(RemoveTree(fs_, folder));
    if (removed != nullptr) removed->push_back(folder);
  }
  GYRATOR_RETURN_IF_ERROR(fs_.SyncDirectory(root_));
  return fs_.RemoveFile(path);
}

Result<std::vector<std::string>> Catalog::IntentIds() {
  std::vector<std::string> ids;
  const Result<std::vector<std::string>> names = fs_.List(NamesFolder());
  if (names.status().code() == Code::kNotFound) return ids;
  GYRATOR_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (!name.starts_with(".") || !name.ends_with(kIntentSuffix)) continue;
    const std::string id = name.substr(1, name.size() - 1 - kIntentSuffix.size());
    if (IsStamp(id) || CheckContextName(id).ok()) ids.push_back(id);
  }
  return ids;
}

Result<std::vector<CatalogEntry>> Catalog::List() {
  std::vector<CatalogEntry> entries;
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Pointer> pointers, ReadNames());
  std::set<std::string> not_listed;  // again, or because a save or removal did not end
  for (const Pointer& pointer : pointers) {
    CatalogEntry& entry = entries.emplace_back();
    entry.name = pointer.name;
    entry.stamp = pointer.stamp;
    entry.problem = pointer.problem;
    not_listed.insert(pointer.stamp);
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> ids, IntentIds());
  for (const std::string& id : ids) {
    const Result<std::vector<std::string>> stamps = ReadIntent(HiddenPath(id, kIntentSuffix));
    if (stamps.ok()) not_listed.insert(stamps->begin(), stamps->end());
  }
  const Result<std::vector<std::string>> folders = fs_.List(root_);
  if (!folders.ok() && folders.status().code() != Code::kNotFound) return folders.status();
  for (const std::string& stamp : folders.ok() ? *folders : std::vector<std::string>()) {
    if (!IsStamp(stamp) || not_listed.contains(stamp)) continue;
    entries.emplace_back().stamp = stamp;
  }
  for (CatalogEntry& entry : entries) {
    if (!entry.problem.ok()) continue;
    entry.folder = JoinPath(root_, entry.stamp);
    Result<SnapshotSummary> summary = ReadSummary(fs_, entry.folder);
    if (summary.ok()) entry.summary = *std::move(summary);
    entry.problem = summary.status();
  }
  std::sort(entries.begin(), entries.end(), TrueOrder);
  return entries;
}

Result<std::string> Catalog::Resolve(std::string_view name_or_path) {
  const std::string text(name_or_path);
  if (CheckContextName(text).ok()) {
    const Result<std::string> stamp = ReadName(text);
    if (stamp.ok()) return JoinPath(root_, *stamp);
    if (stamp.status().code() != Code::kNotFound) return stamp.status();
  }
  if (IsStamp(text) && fs_.Stat(JoinPath(root_, text)).ok()) return JoinPath(root_, text);
  if (!text.empty() && fs_.List(text).ok()) return text;
  return Status::NotFound("'" + text + "': no context of this name in " + root_ +
                          ", and no folder at this path")
      .Named("not_found");
}

Status Catalog::Remove(std::string_view name_or_stamp) {
  const std::string id(name_or_stamp);
  const bool is_stamp = IsStamp(id);
  if (!is_stamp) GYRATOR_RETURN_IF_ERROR(CheckContextName(id));
  const std::string folder = JoinPath(root_, id);
  const Status found = fs_.Stat(is_stamp ? folder : NamePath(id)).status();
  if (found.code() == Code::kNotFound) {
    return Status::NotFound("'" + id + "': no such context in " + root_).Named("not_found");
  }
  GYRATOR_RETURN_IF_ERROR(found);
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockId(id));
  GYRATOR_RETURN_IF_ERROR(Settle(id, nullptr));
  if (is_stamp) {
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<Pointer> pointers, ReadNames());
    for (const Pointer& pointer : pointers) {
      if (pointer.stamp != id) continue;
      return Status::InvalidArgument("'" + id + "': the name '" + pointer.name +
                                     "' points at it; remove the name");
    }
    GYRATOR_RETURN_IF_ERROR(WriteIntent(id, {id}));
    return Settle(id, nullptr);
  }
  const Result<std::string> stamp = ReadName(id);
  if (stamp.ok()) GYRATOR_RETURN_IF_ERROR(WriteIntent(id, {*stamp}));
  GYRATOR_RETURN_IF_ERROR(fs_.RemoveFile(NamePath(id)));
  GYRATOR_RETURN_IF_ERROR(fs_.SyncDirectory(NamesFolder()));
  return Settle(id, nullptr);
}

Result<std::vector<std::string>> Catalog::Recover() {
  std::vector<std::string> removed;
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> ids, IntentIds());
  for (const std::string& id : ids) {
    const Result<std::unique_ptr<FileLock>> lock = LockId(id);
    if (lock.status().name() == "busy") continue;
    GYRATOR_RETURN_IF_ERROR(lock.status());
    GYRATOR_RETURN_IF_ERROR(Settle(id, &removed));
  }
  const Result<std::vector<std::string>> names = fs_.List(root_);
  if (names.status().code() == Code::kNotFound) return removed;
  GYRATOR_RETURN_IF_ERROR(names.status());
  const bool has_temp = std::any_of(names->begin(), names->end(), [](const std::string& name) {
    return name.starts_with(kTempPrefix);
  });
  if (!has_temp) return removed;
  const auto lock = fs_.Lock(JoinPath(root_, kRootLockFile), LockMode::kExclusive);
  if (lock.status().name() == "busy") return removed;
  GYRATOR_RETURN_IF_ERROR(lock.status());
  for (const std::string& name : *names) {
    if (!name.starts_with(kTempPrefix)) continue;
    GYRATOR_RETURN_IF_ERROR(RemoveTree(fs_, JoinPath(root_, name)));
    removed.push_back(JoinPath(root_, name));
  }
  return removed;
}

}  // namespace gyrator

#include "snapshot/catalog.h"

#include <algorithm>
#include <set>

#include "base/sha256.h"
#include "snapshot/errors.h"
#include "snapshot/folder_files.h"
#include "snapshot/stamp.h"

namespace gyrator {

namespace {

constexpr size_t kCopyBytes = 256 << 10;
constexpr int kHoldAttemptsMax = 1'000;  // each failed one is a whole save of somebody else

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

void Summarize(FileSystem& fs, const std::string& folder, CatalogEntry* entry) {
  entry->folder = folder;
  Result<SnapshotSummary> summary = ReadSummary(fs, folder);
  if (summary.ok()) entry->summary = *std::move(summary);
  entry->problem = summary.status();
}

// Copies one file of a folder into another that is being written.
Status CopyFile(FileSystem& fs, const std::string& folder, const std::string& path,
                FolderWriter& writer) {
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> in, OpenElement(fs, folder, path));
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

// session.txt of a folder that comes from elsewhere: whose prefixes its session may share is the
// owner's to say, not the folder's.
std::string ImportedSession(const Snapshot& from) {
  KeyValues session = from.session;
  session.Remove(kNamespaceKey);
  return session.Serialize();
}

// The root digest that a copy with that session.txt must have.
std::string ImportedRoot(const Snapshot& from, std::string_view session) {
  const std::span<const ManifestEntry> files = from.manifest.entries();
  std::vector<ManifestEntry> entries(files.begin(), files.end());
  for (ManifestEntry& entry : entries) {
    if (entry.path != kSessionFile) continue;
    entry.bytes = session.size();
    entry.sha256 = HexText(Sha256Of(AsBytes(session)));
  }
  return Manifest::FromEntries(std::move(entries)).root();
}

// Copies a folder that was verified; a full one keeps its root digest, but for the namespace.
Status CopyFolder(FileSystem& fs, const Snapshot& from, FolderWriter& writer,
                  WrittenSnapshot* written) {
  GYRATOR_ASSIGN_OR_RETURN(const FolderFiles files, ListFolder(fs, from.folder));
  const bool full = from.verification == Verification::kFull;
  for (const auto& [path, bytes] : files) written->bytes += bytes;
  GYRATOR_RETURN_IF_ERROR(writer.RequireSpace(written->bytes));
  const bool clears = full && from.session.Contains(kNamespaceKey);
  const std::string session = clears ? ImportedSession(from) : std::string();
  for (const auto& [path, bytes] : files) {
    if (full && path == kManifestFile) continue;
    if (clears && path == kSessionFile) {
      GYRATOR_RETURN_IF_ERROR(writer.Add(path, AsBytes(session)));
    } else {
      GYRATOR_RETURN_IF_ERROR(CopyFile(fs, from.folder, path, writer));
    }
  }
  if (!full) return writer.CommitAsIs();
  if (writer.root_digest() != (clears ? ImportedRoot(from, session) : from.manifest.root())) {
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

Status Catalog::RefuseTaken(std::string_view name) {
  const Result<std::string> stamp = ReadName(name);
  if (stamp.status().code() == Code::kNotFound) return {};
  GYRATOR_RETURN_IF_ERROR(stamp.status());
  return Status::InvalidArgument(
             "context '" + std::string(name) +
             "': exists already and would be lost; choose another name, or keep "
             "a copy of it elsewhere (gyrator save) before you remove it")
      .Named("exists");
}

Result<WrittenSnapshot> Catalog::Import(std::string_view name, const std::string& folder,
                                        const Accepts& accepts) {
  if (!name.empty()) {
    GYRATOR_RETURN_IF_ERROR(CheckContextName(name));
    GYRATOR_RETURN_IF_ERROR(RefuseTaken(name));
  }
  GYRATOR_ASSIGN_OR_RETURN(const Snapshot snapshot, VerifySnapshot(fs_, folder, {}));
  GYRATOR_RETURN_IF_ERROR(accepts(snapshot));
  return Publish(name, nullptr, [&](FolderWriter& writer, WrittenSnapshot* written) -> Status {
    // Under the lock of the name, which another process may have given away meanwhile.
    if (!name.empty()) GYRATOR_RETURN_IF_ERROR(RefuseTaken(name));
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
    (void)Settle(name, nullptr);  // what cannot be removed now stays in the intent
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
  GYRATOR_RETURN_IF_ERROR(AddToIntent(name, garbage));
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

Result<std::vector<CatalogEntry>> Catalog::List() {
  std::vector<CatalogEntry> entries;
  const Result<std::vector<std::string>> folders = fs_.List(root_);
  if (!folders.ok() && folders.status().code() != Code::kNotFound) return folders.status();
  // Stamps that are listed by their name, or belong to a save or removal that has not ended. A save
  // that ends between these readings is in one of them.
  GYRATOR_ASSIGN_OR_RETURN(std::set<std::string> not_listed, Intended());
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Pointer> pointers, ReadNames());
  GYRATOR_ASSIGN_OR_RETURN(const std::set<std::string> intended, Intended());
  not_listed.insert(intended.begin(), intended.end());
  for (const Pointer& pointer : pointers) {
    CatalogEntry entry;
    entry.name = pointer.name;
    entry.stamp = pointer.stamp;
    entry.problem = pointer.problem;
    not_listed.insert(pointer.stamp);
    if (pointer.problem.ok()) {
      const Result<HeldFolder> held = Hold(pointer.name);
      if (held.status().code() == Code::kNotFound) continue;  // removed meanwhile
      if (held.ok()) entry.stamp = held->folder.substr(held->folder.rfind('/') + 1);
      not_listed.insert(entry.stamp);
      entry.problem = held.status();
      if (held.ok()) Summarize(fs_, held->folder, &entry);
    }
    entries.push_back(std::move(entry));
  }
  for (const std::string& stamp : folders.ok() ? *folders : std::vector<std::string>()) {
    if (!IsStamp(stamp) || not_listed.contains(stamp)) continue;
    const std::string folder = JoinPath(root_, stamp);
    CatalogEntry entry;
    entry.stamp = stamp;
    Summarize(fs_, folder, &entry);
    const bool gone = fs_.Stat(folder).status().code() == Code::kNotFound;
    if (entry.problem.ok() || !gone) entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(), TrueOrder);
  return entries;
}

Result<std::string> Catalog::Resolve(std::string_view name_or_path) {
  const std::string text(name_or_path);
  const bool is_path = text.find('/') != std::string::npos || text == "." || text == "..";
  if (is_path) {
    const auto files = fs_.List(text);
    if (files.ok()) return text;
    if (files.status().code() != Code::kNotFound) return files.status();
    return Status::NotFound("'" + text + "': no folder at this path").Named("not_found");
  }
  if (IsStamp(text)) {
    const Result<FileInfo> folder = fs_.Stat(JoinPath(root_, text));
    if (folder.ok()) return JoinPath(root_, text);
    if (folder.status().code() != Code::kNotFound) return folder.status();
  }
  if (CheckContextName(text).ok()) {
    const Result<std::string> stamp = ReadName(text);
    if (stamp.ok()) return JoinPath(root_, *stamp);
    if (stamp.status().code() != Code::kNotFound) return stamp.status();
  }
  const bool is_folder = !text.empty() && fs_.List(text).ok();
  return Status::NotFound("'" + text + "': no context of this name in " + root_ +
                          (is_folder ? "; for the folder here write './" + text + "'"
                                     : "; 'gyrator ls' lists those that there are"))
      .Named("not_found");
}

Result<HeldFolder> Catalog::Hold(std::string_view name_or_path) {
  for (int attempt = 0; attempt < kHoldAttemptsMax; ++attempt) {
    GYRATOR_ASSIGN_OR_RETURN(std::string folder, Resolve(name_or_path));
    Result<std::unique_ptr<FileLock>> lock = HoldFolder(fs_, folder);
    GYRATOR_ASSIGN_OR_RETURN(const std::string now, Resolve(name_or_path));
    if (now != folder) continue;
    if (lock.ok()) return HeldFolder{std::move(folder), *std::move(lock)};
    const bool dangles = lock.status().code() == Code::kNotFound && folder != name_or_path;
    if (!dangles) return lock.status();
    return MissingElement("names/" + std::string(name_or_path) + ": the folder " + folder);
  }
  return Status::Io("'" + std::string(name_or_path) + "': is saved faster than it can be read")
      .Named("busy");
}

Status Catalog::Remove(std::string_view name_or_stamp) {
  const std::string id(name_or_stamp);
  const bool is_stamp = IsStamp(id);
  if (!is_stamp) GYRATOR_RETURN_IF_ERROR(CheckContextName(id));
  const std::string folder = JoinPath(root_, id);
  const Result<FileInfo> found = fs_.Stat(is_stamp ? folder : NamePath(id));
  if (found.status().code() == Code::kNotFound) {
    return Status::NotFound("'" + id + "': no such context in " + root_).Named("not_found");
  }
  GYRATOR_RETURN_IF_ERROR(found.status());
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockId(id));
  (void)Settle(id, nullptr);  // what cannot be removed now stays in the intent
  if (is_stamp) {
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<Pointer> pointers, ReadNames());
    for (const Pointer& pointer : pointers) {
      if (!pointer.problem.ok() && !IsDamaged(pointer.problem)) return pointer.problem;
      if (pointer.stamp != id) continue;
      return Status::InvalidArgument("'" + id + "': the name '" + pointer.name +
                                     "' points at it; remove the name");
    }
    GYRATOR_RETURN_IF_ERROR(AddToIntent(id, {id}));
  } else {
    const Result<std::string> stamp = ReadName(id);
    if (!stamp.ok() && !IsDamaged(stamp.status())) return stamp.status();
    if (stamp.ok()) GYRATOR_RETURN_IF_ERROR(AddToIntent(id, {*stamp}));
    // A damaged name may be a folder.
    GYRATOR_RETURN_IF_ERROR(found->kind == FileKind::kDirectory ? fs_.RemoveDirectory(NamePath(id))
                                                                : fs_.RemoveFile(NamePath(id)));
    GYRATOR_RETURN_IF_ERROR(fs_.SyncDirectory(NamesFolder()));
  }
  GYRATOR_RETURN_IF_ERROR(Settle(id, nullptr));
  return SweepId(id);
}

}  // namespace gyrator

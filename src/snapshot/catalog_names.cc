// What a catalog keeps beside its folders: name files, intents, locks; and how a crash is mended.
#include <algorithm>

#include "snapshot/catalog.h"
#include "snapshot/errors.h"
#include "snapshot/folder_files.h"
#include "snapshot/stamp.h"

namespace gyrator {

namespace {

constexpr std::string_view kIntentSuffix = ".intent";
constexpr std::string_view kLockSuffix = ".lock";
constexpr std::string_view kTempSuffix = ".tmp";  // of ReplaceFile
constexpr uint64_t kNameBytesMax = 4096;
constexpr uint64_t kIntentBytesMax = 16u << 20;

bool IsId(std::string_view text) { return IsStamp(text) || CheckContextName(text).ok(); }

// The X of ".X<suffix>"; empty when the text is nothing of the kind.
std::string IdOf(std::string_view file, std::string_view suffix) {
  if (!file.starts_with(".") || !file.ends_with(suffix)) return {};
  if (file.size() <= 1 + suffix.size()) return {};
  const std::string_view id = file.substr(1, file.size() - 1 - suffix.size());
  return IsId(id) ? std::string(id) : std::string();
}

// The X of "X.tmp" and ".X.intent.tmp".
std::string IdOfTemp(std::string_view file) {
  if (!file.ends_with(kTempSuffix)) return {};
  file.remove_suffix(kTempSuffix.size());
  return IsId(file) ? std::string(file) : IdOf(file, kIntentSuffix);
}

}  // namespace

Result<std::unique_ptr<FileLock>> Catalog::LockId(std::string_view id) {
  GYRATOR_RETURN_IF_ERROR(CreateDirectories(fs_, NamesFolder()));
  Result<std::unique_ptr<FileLock>> lock =
      fs_.Lock(HiddenPath(id, kLockSuffix), LockMode::kExclusive);
  if (lock.ok() || lock.status().name() != "busy") return lock;
  return Status::Io("context '" + std::string(id) + "': in use by another process").Named("busy");
}

Result<std::string> Catalog::ReadName(std::string_view name) {
  const std::string where = "names/" + std::string(name);
  const std::string no_stamp = "does not hold a stamp; 'gyrator rm' removes it";
  GYRATOR_ASSIGN_OR_RETURN(const FileInfo info, fs_.Stat(NamePath(name)));
  if (info.kind != FileKind::kFile || info.bytes > kNameBytesMax) {
    return StateInconsistent(where, no_stamp);
  }
  GYRATOR_ASSIGN_OR_RETURN(std::string text, ReadFile(fs_, NamePath(name), kNameBytesMax));
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (IsStamp(text)) return text;
  return StateInconsistent(where, no_stamp);
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

Status Catalog::AddToIntent(std::string_view id, const std::vector<std::string>& stamps) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<std::string> all, ReadIntent(id));
  for (const std::string& stamp : stamps) {
    if (std::ranges::find(all, stamp) == all.end()) all.push_back(stamp);
  }
  return WriteIntent(id, all);
}

Result<std::vector<std::string>> Catalog::ReadIntent(std::string_view id) {
  std::vector<std::string> stamps;
  const Result<std::string> text = ReadFile(fs_, HiddenPath(id, kIntentSuffix), kIntentBytesMax);
  if (text.status().code() == Code::kNotFound) return stamps;
  GYRATOR_RETURN_IF_ERROR(text.status());
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    stamps.push_back(text->substr(begin, end - begin));
    if (!IsStamp(stamps.back())) return std::vector<std::string>();
    begin = end + 1;
  }
  return stamps;
}

Result<bool> Catalog::RemoveUnlessHeld(const std::string& folder,
                                       std::vector<std::string>* removed) {
  const Result<std::unique_ptr<FileLock>> lock = fs_.LockDirectory(folder, LockMode::kExclusive);
  if (lock.status().name() == "busy") return false;
  if (lock.status().code() == Code::kNotFound) return true;
  GYRATOR_RETURN_IF_ERROR(lock.status());
  GYRATOR_RETURN_IF_ERROR(RemoveTree(fs_, folder));
  if (removed != nullptr) removed->push_back(folder);
  return true;
}

Status Catalog::Settle(std::string_view id, std::vector<std::string>* removed) {
  const std::string path = HiddenPath(id, kIntentSuffix);
  if (fs_.Stat(path).status().code() == Code::kNotFound) return {};
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> stamps, ReadIntent(id));
  // Names must be durable before a folder goes that one of them may point at after a power cut.
  GYRATOR_RETURN_IF_ERROR(fs_.SyncDirectory(NamesFolder()));
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Pointer> pointers, ReadNames());
  std::set<std::string> kept;
  bool all_known = true;
  for (const Pointer& pointer : pointers) {
    kept.insert(pointer.stamp);
    if (!pointer.problem.ok() && !IsDamaged(pointer.problem)) all_known = false;
  }
  std::vector<std::string> left;
  Status failed;  // the first; what cannot be removed keeps nothing else from going
  for (const std::string& stamp : stamps) {
    if (kept.contains(stamp)) continue;
    Result<bool> gone = false;
    if (all_known) gone = RemoveUnlessHeld(JoinPath(root_, stamp), removed);
    if (!gone.ok() && failed.ok()) failed = gone.status();
    if (!gone.ok() || !*gone) left.push_back(stamp);
  }
  GYRATOR_RETURN_IF_ERROR(fs_.SyncDirectory(root_));
  if (left.empty()) return fs_.RemoveFile(path);
  if (left != stamps) GYRATOR_RETURN_IF_ERROR(WriteIntent(id, left));
  return failed;
}

Result<std::vector<std::string>> Catalog::IntentIds() {
  std::vector<std::string> ids;
  const Result<std::vector<std::string>> names = fs_.List(NamesFolder());
  if (names.status().code() == Code::kNotFound) return ids;
  GYRATOR_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    const std::string id = IdOf(name, kIntentSuffix);
    if (!id.empty()) ids.push_back(id);
  }
  return ids;
}

Result<std::set<std::string>> Catalog::Intended() {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> ids, IntentIds());
  std::set<std::string> stamps;
  for (const std::string& id : ids) {
    const Result<std::vector<std::string>> some = ReadIntent(id);
    if (some.ok()) stamps.insert(some->begin(), some->end());
  }
  return stamps;
}

Status Catalog::SweepId(std::string_view id) {
  GYRATOR_RETURN_IF_ERROR(
      RemoveTree(fs_, HiddenPath(id, std::string(kIntentSuffix) + std::string(kTempSuffix))));
  GYRATOR_RETURN_IF_ERROR(RemoveTree(fs_, NamePath(id) + std::string(kTempSuffix)));
  for (const std::string& path : {NamePath(id), HiddenPath(id, kIntentSuffix)}) {
    if (fs_.Stat(path).status().code() != Code::kNotFound) return {};
  }
  return fs_.RemoveFile(HiddenPath(id, kLockSuffix));
}

Result<std::set<std::string>> Catalog::StrayIds() {
  std::set<std::string> ids;
  const Result<std::vector<std::string>> files = fs_.List(NamesFolder());
  if (files.status().code() == Code::kNotFound) return ids;
  GYRATOR_RETURN_IF_ERROR(files.status());
  for (const std::string& file : *files) {
    const std::string of_temp = IdOfTemp(file);
    if (!of_temp.empty()) ids.insert(of_temp);
    const std::string of_lock = IdOf(file, kLockSuffix);
    if (of_lock.empty() || std::ranges::binary_search(*files, of_lock)) continue;
    ids.insert(of_lock);
  }
  return ids;
}

Status Catalog::SweepTempFolders(std::vector<std::string>* removed) {
  const Result<std::vector<std::string>> names = fs_.List(root_);
  if (names.status().code() == Code::kNotFound) return {};
  GYRATOR_RETURN_IF_ERROR(names.status());
  const bool has_temp = std::any_of(names->begin(), names->end(), [](const std::string& name) {
    return name.starts_with(kTempPrefix);
  });
  if (!has_temp) return {};
  const auto lock = fs_.Lock(JoinPath(root_, kRootLockFile), LockMode::kExclusive);
  if (lock.status().name() == "busy") return {};
  GYRATOR_RETURN_IF_ERROR(lock.status());
  for (const std::string& name : *names) {
    if (!name.starts_with(kTempPrefix)) continue;
    const std::string folder = JoinPath(root_, name);
    if (RemoveTree(fs_, folder).ok()) removed->push_back(folder);
  }
  return {};
}

Result<std::vector<std::string>> Catalog::Recover() {
  std::vector<std::string> removed;
  // What cannot be mended of one name keeps nobody from the others.
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<std::string> ids, IntentIds());
  for (const std::string& id : ids) {
    const Result<std::unique_ptr<FileLock>> lock = LockId(id);
    if (lock.ok()) (void)Settle(id, &removed);
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::set<std::string> strays, StrayIds());
  for (const std::string& id : strays) {
    const Result<std::unique_ptr<FileLock>> lock = LockId(id);
    if (lock.ok()) (void)SweepId(id);
  }
  GYRATOR_RETURN_IF_ERROR(SweepTempFolders(&removed));
  return removed;
}

}  // namespace gyrator

#include "base/fs_memory.h"

#include <map>
#include <optional>

#include "base/check.h"

namespace gyrator {

struct MemoryFileSystem::Node {
  using Entries = std::map<std::string, std::shared_ptr<Node>>;
  bool is_directory = false;
  std::string data, synced_data;    // of a file
  Entries entries, synced_entries;  // of a directory
  int shared_locks = 0;
  bool exclusive_lock = false;
};

struct MemoryFileSystem::Place {
  std::shared_ptr<Node> folder;
  std::string name;
};

namespace {

uint64_t NextRandom(uint64_t* state) {  // splitmix64
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Status Missing(const std::string& path) {
  return Status::NotFound(path + ": no such file or folder");
}
Status Exists(const std::string& path) { return Status::Io(path + ": exists").Named("exists"); }
Status Dead(const std::string& path) { return Status::Io(path + ": gone in a crash").Named("io"); }

// What a torn crash keeps of a file.
std::string TornContent(const std::string& data, const std::string& synced, uint64_t* state) {
  switch (NextRandom(state) % 3) {
    case 0:
      return synced;
    case 1:
      return data;
    default:
      break;
  }
  if (data.size() <= synced.size()) return synced;
  std::string torn = data;
  const size_t kept = synced.size() + NextRandom(state) % (data.size() - synced.size());
  torn.resize(kept);
  torn.resize(data.size(), '\0');
  return torn;
}

class MemoryReadableFile final : public ReadableFile {
 public:
  explicit MemoryReadableFile(std::string data) : data_(std::move(data)) {}
  uint64_t size() const override { return data_.size(); }
  Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
    if (offset > data_.size() || out.size() > data_.size() - offset) {
      return Status::Corruption("ends at byte " + std::to_string(data_.size()));
    }
    if (!out.empty()) std::memcpy(out.data(), data_.data() + offset, out.size());
    return {};
  }

 private:
  const std::string data_;
};

}  // namespace

class MemoryWritableFile final : public WritableFile {
 public:
  MemoryWritableFile(MemoryFileSystem* fs, std::string path,
                     std::shared_ptr<MemoryFileSystem::Node> node)
      : fs_(fs),
        path_(std::move(path)),
        node_(std::move(node)),
        generation_(fs->generation_),
        born_(*generation_) {}

  Status Append(ByteSpan bytes) override {
    if (*generation_ != born_) return Dead(path_);
    if (bytes.size() > fs_->free_bytes_) {
      return Status::Exhausted(path_ + ": no space left").Named("no_space");
    }
    fs_->free_bytes_ -= bytes.size();
    node_->data.append(AsText(bytes));
    return {};
  }
  Status Sync() override {
    if (*generation_ != born_) return Dead(path_);
    node_->synced_data = node_->data;
    return {};
  }
  Status Close() override { return *generation_ == born_ ? Status() : Dead(path_); }

 private:
  MemoryFileSystem* fs_;
  const std::string path_;
  std::shared_ptr<MemoryFileSystem::Node> node_;
  std::shared_ptr<uint64_t> generation_;
  const uint64_t born_;
};

class MemoryLock final : public FileLock {
 public:
  MemoryLock(std::shared_ptr<MemoryFileSystem::Node> node, LockMode mode)
      : node_(std::move(node)), mode_(mode) {
    if (mode_ == LockMode::kShared) ++node_->shared_locks;
    if (mode_ == LockMode::kExclusive) node_->exclusive_lock = true;
  }
  ~MemoryLock() override {
    if (mode_ == LockMode::kShared) --node_->shared_locks;
    if (mode_ == LockMode::kExclusive) node_->exclusive_lock = false;
  }

 private:
  std::shared_ptr<MemoryFileSystem::Node> node_;
  const LockMode mode_;
};

MemoryFileSystem::MemoryFileSystem()
    : root_(std::make_shared<Node>()), generation_(std::make_shared<uint64_t>(0)) {
  root_->is_directory = true;
}

MemoryFileSystem::~MemoryFileSystem() { ++*generation_; }

void MemoryFileSystem::Crash(CrashMode mode, uint64_t seed) {
  ++*generation_;
  uint64_t state = seed;
  // A fresh node each, so that locks and open files of the dead process hold on to the old ones.
  const auto rebuild = [&](const auto& self, const Node& old) -> std::shared_ptr<Node> {
    auto node = std::make_shared<Node>();
    node->is_directory = old.is_directory;
    if (!old.is_directory) {
      node->data = mode == CrashMode::kKeepAll ? old.data
                   : mode == CrashMode::kDropUnsynced
                       ? old.synced_data
                       : TornContent(old.data, old.synced_data, &state);
      node->synced_data = node->data;
      return node;
    }
    const bool keep_new =
        mode == CrashMode::kKeepAll || (mode == CrashMode::kTorn && NextRandom(&state) % 2 == 0);
    for (const auto& [name, child] : keep_new ? old.entries : old.synced_entries) {
      node->entries[name] = self(self, *child);
    }
    node->synced_entries = node->entries;
    return node;
  };
  root_ = rebuild(rebuild, *root_);
}

void MemoryFileSystem::Damage(const std::string& path, std::string content) {
  const auto node = Find(path);
  GYRATOR_CHECK(node.ok() && !(*node)->is_directory);
  (*node)->data = std::move(content);
  (*node)->synced_data = (*node)->data;
}

Result<std::shared_ptr<MemoryFileSystem::Node>> MemoryFileSystem::Find(
    const std::string& path) const {
  std::shared_ptr<Node> node = root_;
  for (size_t at = 0; at < path.size();) {
    if (path[at] == '/') {
      ++at;
      continue;
    }
    const size_t end = std::min(path.find('/', at), path.size());
    if (!node->is_directory) return Missing(path);
    const auto found = node->entries.find(path.substr(at, end - at));
    if (found == node->entries.end()) return Missing(path);
    node = found->second;
    at = end;
  }
  return node;
}

Result<MemoryFileSystem::Place> MemoryFileSystem::FindPlace(const std::string& path) const {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos || slash + 1 == path.size()) {
    return Status::InvalidArgument("'" + path + "': not an absolute path to an entry");
  }
  GYRATOR_ASSIGN_OR_RETURN(std::shared_ptr<Node> folder, Find(path.substr(0, slash)));
  if (!folder->is_directory) return Missing(path);
  return Place{std::move(folder), path.substr(slash + 1)};
}

Result<FileInfo> MemoryFileSystem::Stat(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node, Find(path));
  if (node->is_directory) return FileInfo{FileKind::kDirectory, 0};
  return FileInfo{FileKind::kFile, node->data.size()};
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node, Find(path));
  if (!node->is_directory) return Missing(path);
  std::vector<std::string> names;
  for (const auto& [name, child] : node->entries) names.push_back(name);
  return names;
}

Result<std::unique_ptr<ReadableFile>> MemoryFileSystem::OpenForRead(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node, Find(path));
  if (node->is_directory) return Status::InvalidArgument(path + ": not a regular file");
  return std::unique_ptr<ReadableFile>(std::make_unique<MemoryReadableFile>(node->data));
}

Result<std::unique_ptr<WritableFile>> MemoryFileSystem::CreateFile(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const Place place, FindPlace(path));
  auto node = std::make_shared<Node>();
  if (!place.folder->entries.emplace(place.name, node).second) return Exists(path);
  return std::unique_ptr<WritableFile>(
      std::make_unique<MemoryWritableFile>(this, path, std::move(node)));
}

Status MemoryFileSystem::CreateDirectory(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const Place place, FindPlace(path));
  auto node = std::make_shared<Node>();
  node->is_directory = true;
  if (!place.folder->entries.emplace(place.name, std::move(node)).second) return Exists(path);
  return {};
}

Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  GYRATOR_ASSIGN_OR_RETURN(const Place source, FindPlace(from));
  GYRATOR_ASSIGN_OR_RETURN(const Place target, FindPlace(to));
  const auto found = source.folder->entries.find(source.name);
  if (found == source.folder->entries.end()) return Missing(from);
  const std::shared_ptr<Node> node = found->second;
  const auto there = target.folder->entries.find(target.name);
  if (there != target.folder->entries.end()) {
    const bool kinds_differ = there->second->is_directory != node->is_directory;
    if (kinds_differ || (node->is_directory && !there->second->entries.empty())) return Exists(to);
  }
  source.folder->entries.erase(found);
  target.folder->entries[target.name] = node;
  return {};
}

Status MemoryFileSystem::RemoveFile(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const Place place, FindPlace(path));
  const auto found = place.folder->entries.find(place.name);
  if (found == place.folder->entries.end()) return Missing(path);
  if (found->second->is_directory) return Status::Io(path + ": is a folder").Named("io");
  free_bytes_ += found->second->data.size();
  place.folder->entries.erase(found);
  return {};
}

Status MemoryFileSystem::RemoveDirectory(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const Place place, FindPlace(path));
  const auto found = place.folder->entries.find(place.name);
  if (found == place.folder->entries.end() || !found->second->is_directory) return Missing(path);
  if (!found->second->entries.empty()) return Exists(path);
  place.folder->entries.erase(found);
  return {};
}

Status MemoryFileSystem::SyncDirectory(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node, Find(path));
  if (!node->is_directory) return Missing(path);
  node->synced_entries = node->entries;
  return {};
}

Result<uint64_t> MemoryFileSystem::FreeBytes(const std::string& path) {
  GYRATOR_RETURN_IF_ERROR(Find(path).status());
  return free_bytes_;
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(const std::string& path, LockMode mode) {
  if (!Find(path).ok()) GYRATOR_RETURN_IF_ERROR(CreateFile(path).status());
  GYRATOR_ASSIGN_OR_RETURN(std::shared_ptr<Node> node, Find(path));
  const bool shared_only = mode == LockMode::kShared;
  if (node->exclusive_lock || (!shared_only && node->shared_locks > 0)) {
    // One thread: waiting would never end.
    return Status::Io(path + ": in use by another process").Named("busy");
  }
  return std::unique_ptr<FileLock>(std::make_unique<MemoryLock>(std::move(node), mode));
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::LockDirectory(const std::string& path,
                                                                  LockMode mode) {
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<Node> node, Find(path));
  return node->is_directory ? Lock(path, mode) : Missing(path);
}

}  // namespace gyrator

#include "engine/weights_digest.h"

#include <algorithm>
#include <utility>

#include "engine/digest_cache.h"

namespace gyrator {

namespace {

std::vector<FileStamp> LoadedStamps(const TensorIndex& tensors) {
  std::vector<FileStamp> stamps;
  for (const auto& file : tensors.files()) stamps.push_back(file->stamp());
  return stamps;
}

Status ModelChanged(const std::string& path, const std::string& what) {
  return Status::Mismatch(path + ": " + what +
                          ": expected the weights that were loaded; load the model again, and go "
                          "on from what was saved before")
      .Named("model_changed");
}

}  // namespace

LoadedDigest::LoadedDigest(const TensorIndex* tensors, std::string cache)
    : tensors_(tensors),
      cache_(std::move(cache)),
      loaded_(LoadedStamps(*tensors)),
      current_(loaded_) {}

Result<std::string> LoadedDigest::Get(const HashFn& hash) {
  const std::lock_guard lock(mutex_);
  GYRATOR_RETURN_IF_ERROR(changed_);
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<FileStamp> now, StampsNow());
  auto digest = now == current_ ? GetUnchanged(hash) : GetChanged(now, hash);
  if (digest.status().name() == "model_changed") changed_ = digest.status();
  return digest;
}

std::optional<std::string> LoadedDigest::Known() {
  const std::lock_guard lock(mutex_);
  if (!digest_) digest_ = FindCached();
  return digest_;
}

Result<std::string> LoadedDigest::Recompute(const HashFn& hash) {
  const std::lock_guard lock(mutex_);
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<FileStamp> now, StampsNow());
  GYRATOR_ASSIGN_OR_RETURN(const std::string digest, HashAt(now, hash));
  // A cache that cannot be written only costs time.
  if (!cache_.empty()) (void)StoreDigest(cache_, DigestCacheKey(*tensors_, now), digest);
  return digest;
}

Result<std::vector<FileStamp>> LoadedDigest::StampsNow() const {
  std::vector<FileStamp> stamps;
  for (const auto& file : tensors_->files()) {
    GYRATOR_ASSIGN_OR_RETURN(const FileStamp stamp, file->StampNow());
    stamps.push_back(stamp);
  }
  return stamps;
}

// The digest of files whose stamps are `stamps`, before and after. A file that lost its end is not
// read: nothing is behind the last pages of its mapping.
Result<std::string> LoadedDigest::HashAt(const std::vector<FileStamp>& stamps,
                                         const HashFn& hash) const {
  for (size_t i = 0; i < stamps.size(); ++i) {
    const MappedFile& file = *tensors_->files()[i];
    if (stamps[i].bytes >= file.bytes().size()) continue;
    return ModelChanged(file.path(), "the file has " + std::to_string(stamps[i].bytes) +
                                         " bytes, it had " + std::to_string(file.bytes().size()) +
                                         " when it was loaded");
  }
  std::string digest = hash();
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<FileStamp> after, StampsNow());
  for (size_t i = 0; i < stamps.size(); ++i) {
    if (after[i] == stamps[i]) continue;
    return ModelChanged(tensors_->files()[i]->path(), "the file was written while it was hashed");
  }
  return digest;
}

std::optional<std::string> LoadedDigest::FindCached() const {
  if (cache_.empty()) return std::nullopt;
  return FindDigest(cache_, DigestCacheKey(*tensors_, loaded_));
}

Result<std::string> LoadedDigest::GetUnchanged(const HashFn& hash) {
  if (!digest_) digest_ = FindCached();
  if (!digest_) {
    GYRATOR_ASSIGN_OR_RETURN(digest_, HashAt(current_, hash));
    if (!cache_.empty()) (void)StoreDigest(cache_, DigestCacheKey(*tensors_, current_), *digest_);
  }
  return *digest_;
}

Result<std::string> LoadedDigest::GetChanged(const std::vector<FileStamp>& now,
                                             const HashFn& hash) {
  if (!digest_) digest_ = FindCached();
  const size_t first = static_cast<size_t>(
      std::mismatch(now.begin(), now.end(), current_.begin()).first - now.begin());
  const std::string& path = tensors_->files()[first]->path();
  if (!digest_) {
    return ModelChanged(path,
                        "the file was changed, moved or removed before its weights were hashed");
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string found, HashAt(now, hash));
  if (found != *digest_) {
    return ModelChanged(path, "the file was written after it was loaded: the weights hash to " +
                                  found + ", they hashed to " + *digest_);
  }
  current_ = now;
  if (!cache_.empty()) (void)StoreDigest(cache_, DigestCacheKey(*tensors_, now), found);
  return found;
}

}  // namespace gyrator

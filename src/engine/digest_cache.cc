#include "engine/digest_cache.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

constexpr uint64_t kCacheBytesMax = 1 << 20;
constexpr size_t kEntriesMax = 100;
constexpr size_t kDigestLength = 64;
constexpr size_t kCheckLength = 16;
constexpr std::string_view kKeyVersion = "weights v2\n";  // the version of what a key is made of

struct Entry {
  std::string key, digest;
};

// "<key> <digest> <check>"
std::string LineOf(const Entry& entry) {
  const std::string line = entry.key + ' ' + entry.digest;
  return line + ' ' + HexText(Sha256Of(AsBytes(line))).substr(0, kCheckLength);
}

// An absent cache has none. What the system refuses is an error: it may have some.
Result<std::vector<Entry>> ReadEntries(const std::string& cache) {
  std::vector<Entry> entries;
  const auto text = ReadFile(PosixFileSystem(), cache, kCacheBytesMax);
  if (text.status().code() == Code::kIo) return text.status();
  if (!text.ok()) return entries;  // absent, or larger than any cache of ours
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const std::string line = text->substr(begin, end - begin);
    begin = end + 1;
    if (line.size() != 2 * kDigestLength + kCheckLength + 2) continue;
    Entry entry = {line.substr(0, kDigestLength), line.substr(kDigestLength + 1, kDigestLength)};
    if (LineOf(entry) == line) entries.push_back(std::move(entry));
  }
  return entries;
}

// The number of the file that holds `bytes`, and where they begin in it.
std::string PlaceOf(ByteSpan bytes, const TensorIndex& tensors) {
  for (size_t i = 0; i < tensors.files().size(); ++i) {
    const ByteSpan file = tensors.files()[i]->bytes();
    if (bytes.data() < file.data() || bytes.data() >= file.data() + file.size()) continue;
    return std::to_string(i) + ' ' + std::to_string(bytes.data() - file.data());
  }
  return "none";  // a tensor without bytes
}

}  // namespace

std::string DigestCacheKey(const TensorIndex& tensors, std::span<const FileStamp> stamps) {
  GYRATOR_CHECK(stamps.size() == tensors.files().size());
  Sha256 hash;
  hash.Update(AsBytes(kKeyVersion));
  for (const FileStamp& stamp : stamps) {
    hash.Update(AsBytes(std::to_string(stamp.device) + ' ' + std::to_string(stamp.inode) + ' ' +
                        std::to_string(stamp.bytes) + ' ' + std::to_string(stamp.modified_ns) +
                        ' ' + std::to_string(stamp.changed_ns) + '\n'));
  }
  for (const TensorIndex::Entry& entry : tensors.entries()) {
    hash.Update(AsBytes(entry.name + ' ' + std::string(DTypeName(entry.view.dtype)) + ' ' +
                        ShapeText(entry.view.shape) + ' ' + PlaceOf(entry.view.bytes, tensors) +
                        '\n'));
  }
  return HexText(hash.Finish());
}

std::optional<std::string> FindDigest(const std::string& cache, const std::string& key) {
  Result<std::vector<Entry>> entries = ReadEntries(cache);
  if (!entries.ok()) return std::nullopt;
  for (Entry& entry : *entries) {
    if (entry.key == key) return std::move(entry.digest);
  }
  return std::nullopt;
}

Status StoreDigest(const std::string& cache, const std::string& key, const std::string& digest) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Entry> entries, ReadEntries(cache));
  std::string text = LineOf({key, digest}) + '\n';
  size_t kept = 1;
  for (const Entry& entry : entries) {
    if (entry.key == key || kept >= kEntriesMax) continue;
    text += LineOf(entry) + '\n';
    ++kept;
  }
  GYRATOR_RETURN_IF_ERROR(CreateDirectories(PosixFileSystem(), ParentPath(cache)));
  return ReplaceFile(PosixFileSystem(), cache, AsBytes(text));
}

}  // namespace gyrator

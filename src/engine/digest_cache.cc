#include "engine/digest_cache.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/fs.h"
#include "base/sha256.h"

namespace gyrator {

namespace {

constexpr uint64_t kCacheBytesMax = 1 << 20;
constexpr size_t kEntriesMax = 100;
constexpr size_t kDigestLength = 64;

// Lines of "<key> <digest>", both 64 hex digits; others are left out.
std::vector<std::string> ReadLines(const std::string& cache) {
  std::vector<std::string> lines;
  const auto text = ReadFile(PosixFileSystem(), cache, kCacheBytesMax);
  if (!text.ok()) return lines;
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    std::string line = text->substr(begin, end - begin);
    if (line.size() == 2 * kDigestLength + 1 && line[kDigestLength] == ' ')
      lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

Result<std::string> DigestCacheKey(std::span<const std::string> files) {
  std::string text;
  for (const std::string& path : files) {
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) {
      const std::string message = path + ": " + std::strerror(errno);
      return errno == ENOENT ? Status::NotFound(message) : Status::Io(message);
    }
    for (const int64_t part :
         {static_cast<int64_t>(info.st_dev), static_cast<int64_t>(info.st_ino),
          static_cast<int64_t>(info.st_size), static_cast<int64_t>(info.st_mtim.tv_sec),
          static_cast<int64_t>(info.st_mtim.tv_nsec), static_cast<int64_t>(info.st_ctim.tv_sec),
          static_cast<int64_t>(info.st_ctim.tv_nsec)}) {
      text += std::to_string(part) + ' ';
    }
  }
  return HexText(Sha256Of(AsBytes(text)));
}

std::optional<std::string> FindDigest(const std::string& cache, const std::string& key) {
  for (const std::string& line : ReadLines(cache)) {
    if (line.starts_with(key)) return line.substr(kDigestLength + 1);
  }
  return std::nullopt;
}

Status StoreDigest(const std::string& cache, const std::string& key, const std::string& digest) {
  std::string text = key + ' ' + digest + '\n';
  size_t kept = 1;
  for (const std::string& line : ReadLines(cache)) {
    if (line.starts_with(key) || kept++ >= kEntriesMax) continue;
    text += line + '\n';
  }
  GYRATOR_RETURN_IF_ERROR(CreateDirectories(PosixFileSystem(), ParentPath(cache)));
  return ReplaceFile(PosixFileSystem(), cache, AsBytes(text));
}

}  // namespace gyrator

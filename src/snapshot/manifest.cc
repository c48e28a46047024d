#include "snapshot/manifest.h"

#include <algorithm>
#include <charconv>

#include "base/sha256.h"
#include "snapshot/errors.h"
#include "snapshot/format.h"

namespace gyrator {

namespace {

bool IsDigest(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// Relative, of plain parts: nothing that leaves the folder or hides in it.
bool IsSafePath(std::string_view path) {
  if (path.empty() || path.size() > 200) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part[0] == '.') return false;
    const bool plain = std::all_of(part.begin(), part.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-' || c == '.';
    });
    if (!plain) return false;
    begin = end + 1;
  }
  return true;
}

Status LineError(size_t number, std::string_view what) {
  return ManifestMismatch(kManifestFile,
                          "line " + std::to_string(number) + ": " + std::string(what));
}

Result<ManifestEntry> ParseLine(size_t number, std::string_view line) {
  const size_t first = line.find(' ');
  const size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) return LineError(number, "expected 'sha256 size path'");
  ManifestEntry entry;
  entry.sha256 = line.substr(0, first);
  entry.path = line.substr(second + 1);
  const std::string_view size = line.substr(first + 1, second - first - 1);
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), entry.bytes);
  const bool is_number = error == std::errc() && end == size.data() + size.size();
  if (!is_number || std::to_string(entry.bytes) != size) return LineError(number, "bad size");
  if (!IsDigest(entry.sha256)) return LineError(number, "bad digest");
  if (!IsSafePath(entry.path)) return LineError(number, "path not allowed");
  return entry;
}

}  // namespace

Manifest Manifest::FromEntries(std::vector<ManifestEntry> entries) {
  Manifest manifest;
  manifest.entries_ = std::move(entries);
  std::sort(manifest.entries_.begin(), manifest.entries_.end(),
            [](const ManifestEntry& a, const ManifestEntry& b) { return a.path < b.path; });
  manifest.root_ = HexText(Sha256Of(AsBytes(manifest.Lines())));
  return manifest;
}

Result<Manifest> Manifest::Parse(std::string_view text) {
  std::vector<ManifestEntry> entries;
  std::string_view rest = text;
  for (size_t number = 1;; ++number) {
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) return LineError(number, "expected the root line and LF");
    const std::string_view line = rest.substr(0, end);
    if (line.starts_with("root ")) break;
    GYRATOR_ASSIGN_OR_RETURN(ManifestEntry entry, ParseLine(number, line));
    if (!entries.empty() && entries.back().path >= entry.path) {
      return LineError(number, "paths are not sorted and unique");
    }
    entries.push_back(std::move(entry));
    rest.remove_prefix(end + 1);
  }
  Manifest manifest = FromEntries(std::move(entries));
  if (manifest.Serialize() != text) {
    return ManifestMismatch(kManifestFile, "the root digest is not that of the lines above it (" +
                                               manifest.root() + ")");
  }
  return manifest;
}

std::string Manifest::Lines() const {
  std::string lines;
  for (const ManifestEntry& entry : entries_) {
    lines += entry.sha256 + " " + std::to_string(entry.bytes) + " " + entry.path + "\n";
  }
  return lines;
}

std::string Manifest::Serialize() const { return Lines() + "root " + root_ + "\n"; }

const ManifestEntry* Manifest::Find(std::string_view path) const {
  const auto found = std::lower_bound(
      entries_.begin(), entries_.end(), path,
      [](const ManifestEntry& entry, std::string_view p) { return entry.path < p; });
  return found != entries_.end() && found->path == path ? &*found : nullptr;
}

uint64_t Manifest::total_bytes() const {
  uint64_t total = 0;
  for (const ManifestEntry& entry : entries_) total += entry.bytes;
  return total;
}

}  // namespace gyrator

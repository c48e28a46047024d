// metadata/manifest.txt: the size and SHA-256 of every file of a folder, and the root digest.
//
// Grammar: one line a file, "<sha256> <size> <path>", sorted by the bytes of the path; last line
// "root <sha256 of all lines above, LF included>". Written last; it is what makes a folder
// complete.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"

namespace gyrator {

struct ManifestEntry {
  std::string path;  // relative, '/' between parts
  uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hex digits
  bool operator==(const ManifestEntry&) const = default;
};

class Manifest {
 public:
  // Sorts. REQUIRES: paths are unique and acceptable to Parse.
  static Manifest FromEntries(std::vector<ManifestEntry> entries);
  // Strict: there is exactly one text for a list of entries. "manifest_mismatch" names the line.
  static Result<Manifest> Parse(std::string_view text);
  std::string Serialize() const;

  const std::string& root() const { return root_; }
  std::span<const ManifestEntry> entries() const { return entries_; }
  const ManifestEntry* Find(std::string_view path) const;  // nullptr: none
  uint64_t total_bytes() const;                            // of the files listed

 private:
  std::string Lines() const;

  std::vector<ManifestEntry> entries_;  // sorted by path
  std::string root_;
};

}  // namespace gyrator

// Remembers the digests of weight files, so that a model is hashed once.
//
// An entry is keyed by device, inode, size, mtime and ctime of every file: whatever changes a
// file's bytes changes one of them. One text file, a line an entry, replaced atomically; a damaged
// or missing cache only costs time. Two processes may race: the last writer wins.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "gyrator/status.h"

namespace gyrator {

// The key of a set of files, in order. kNotFound, kIo.
Result<std::string> DigestCacheKey(std::span<const std::string> files);

// The digest stored under `key`; nullopt when there is none or the cache cannot be read.
std::optional<std::string> FindDigest(const std::string& cache, const std::string& key);

// Adds an entry (newest first; the oldest beyond 100 are dropped) and makes the cache's folder.
Status StoreDigest(const std::string& cache, const std::string& key, const std::string& digest);

}  // namespace gyrator

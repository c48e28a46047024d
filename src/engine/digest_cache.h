// Remembers the digests of weights in a file, so that a model is hashed once and not once a
// process.
//
// An entry is keyed by what fstat said of every mapped file when the model was loaded, and by where
// the tensors lie in them: whatever changes the bytes of a tensor changes one of those. One text
// file, a line an entry, replaced atomically. A line is taken only if its own check fits it, so a
// damaged cache costs time and never gives another digest; entries of versions that had other keys
// are not taken either. Two processes may race: the last writer wins.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/mapped_file.h"
#include "formats/tensor_file.h"
#include "gyrator/status.h"

namespace gyrator {

// The key of these tensors in files of these stamps, one for each of tensors.files(), in order.
std::string DigestCacheKey(const TensorIndex& tensors, std::span<const FileStamp> stamps);

// The digest stored under `key`; nullopt when there is none or the cache cannot be read.
std::optional<std::string> FindDigest(const std::string& cache, const std::string& key);

// Adds an entry (newest first; the oldest beyond 100 are dropped) and makes the cache's folder.
// kIo when the entries that are there cannot be read: they stay.
Status StoreDigest(const std::string& cache, const std::string& key, const std::string& digest);

}  // namespace gyrator

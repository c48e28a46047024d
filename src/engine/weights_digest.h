// The name of the weights that one model object computes with.
//
// Weights are hashed at most once a model object, out of the mapping that the arithmetic reads, and
// the digest is trusted only as long as the mapped files are what they were: their stamps are asked
// of the mapped descriptors, since a path may lead to another file by now.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "formats/tensor_file.h"
#include "gyrator/status.h"

namespace gyrator {

// Safe for concurrent use; a call that hashes makes others wait.
class LoadedDigest {
 public:
  // Hashes the tensors of the model, hex.
  using HashFn = std::function<std::string()>;

  // The model's tensors outlive this. `cache` is the file of digest_cache.h; empty: none.
  LoadedDigest(const TensorIndex* tensors, std::string cache);

  // The digest of the weights as they were loaded. When a file's stamp differs from that of the
  // load, a digest that is known (computed before, or cached under the stamps of the load) is
  // computed again: equal, and it stands. kMismatch "model_changed": the bytes differ, or nobody
  // knows what they were; so is every later call, for K and V may be of two models by then. kIo.
  Result<std::string> Get(const HashFn& hash);
  // The digest of the weights as they were loaded, if this object or the cache has it.
  std::optional<std::string> Known();
  // Hashes what the mapping holds now, and remembers it in the cache. kMismatch "model_changed"
  // when a file was written while it was read; kIo.
  Result<std::string> Recompute(const HashFn& hash);

 private:
  Result<std::vector<FileStamp>> StampsNow() const;
  Result<std::string> HashAt(const std::vector<FileStamp>& stamps, const HashFn& hash) const;
  Result<std::string> GetUnchanged(const HashFn& hash);
  Result<std::string> GetChanged(const std::vector<FileStamp>& now, const HashFn& hash);
  std::optional<std::string> FindCached() const;

  const TensorIndex* const tensors_;
  const std::string cache_;
  const std::vector<FileStamp> loaded_;  // stamps at the load
  std::mutex mutex_;                     // guards what follows
  std::vector<FileStamp> current_;       // stamps at which digest_ was last seen to hold
  std::optional<std::string> digest_;
  Status changed_;  // once the weights were seen to be others
};

}  // namespace gyrator

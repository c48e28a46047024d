// The tokens of one sequence and the blocks that hold their K and V.
//
// Invariant: tokens().size() == cp, and the table has a block for every position below cp (and for
// those reserved). Does not: run the model, know text, share prefixes. Engine thread only; releases
// its blocks at destruction, so it must not outlive its pool.
#pragma once

#include <span>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"
#include "kernels/paged_kv.h"
#include "kv/block_pool.h"

namespace gyrator {

class Sequence {
 public:
  Sequence(BlockPool* pool, int32_t capacity) : pool_(pool), capacity_(capacity) {}
  ~Sequence() { Clear(); }
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&& other) noexcept;

  int32_t cp() const { return static_cast<int32_t>(tokens_.size()); }
  int32_t capacity() const { return capacity_; }
  std::span<const TokenId> tokens() const { return tokens_; }
  BlockTableView table() const { return {blocks_.data(), static_cast<int32_t>(blocks_.size())}; }

  // Longest common prefix of `tokens` and this sequence.
  int32_t CommonPrefix(std::span<const TokenId> tokens) const;
  // Makes room for positions cp .. cp + count - 1. kExhausted "capacity" names capacity and cp when
  // they do not fit the session, or the pool's own error; nothing changes then.
  Status Reserve(int32_t count);
  // Takes tokens whose K and V were just stored. REQUIRES: reserved.
  void Commit(std::span<const TokenId> tokens);
  // Forgets positions from `length` on and frees blocks that hold none. REQUIRES length <= cp.
  void Truncate(int32_t length);
  void Clear() { Truncate(0); }

 private:
  BlockPool* pool_;
  int32_t capacity_;
  std::vector<TokenId> tokens_;
  std::vector<uint32_t> blocks_;
};

}  // namespace gyrator

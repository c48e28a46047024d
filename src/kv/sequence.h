// The tokens of one sequence and the blocks that hold their K and V.
//
// Positions can be evicted from the middle: those behind them move down, keep their V and have
// their K turned to where they now stand. K and V are no function of the tokens from there on.
//
// Blocks may be shared with other sequences and with the prefix cache. A block that is shared is
// never written: who wants to append to it copies it first (copy-on-write), so that a fork costs no
// block until it differs, and one then.
//
// Invariant: tokens().size() == cp, and the table has a block for every position below cp (and for
// those reserved). Does not: run the model, know text, look for prefixes. Engine thread only;
// releases its blocks at destruction, so it must not outlive its pool.
#pragma once

#include <span>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"
#include "kernels/paged_kv.h"
#include "kv/block_bytes.h"
#include "kv/block_pool.h"
#include "kv/token_list.h"

namespace gyrator {

// Blocks that hold `positions` positions.
inline int64_t BlocksFor(int64_t positions) {
  return (positions + kBlockPositions - 1) / kBlockPositions;
}

class Sequence {
 public:
  Sequence(BlockPool* pool, BlockBytes* bytes, int32_t capacity)
      : pool_(pool), bytes_(bytes), capacity_(capacity) {}
  ~Sequence() { Clear(); }
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&& other) noexcept;

  int32_t cp() const { return tokens_.size(); }
  int32_t capacity() const { return capacity_; }
  const TokenList& tokens() const { return tokens_; }
  std::span<const uint32_t> blocks() const { return blocks_; }
  BlockTableView table() const { return {blocks_.data(), static_cast<int32_t>(blocks_.size())}; }

  // Longest common prefix of `tokens` and this sequence.
  int32_t CommonPrefix(std::span<const TokenId> tokens) const {
    return tokens_.CommonPrefix(tokens);
  }

  // Whether the next token goes to a block that someone else reads too: last_block().
  bool AppendsToShared() const;
  // REQUIRES cp % 16 != 0.
  uint32_t last_block() const { return blocks_[static_cast<size_t>(cp() / kBlockPositions)]; }

  // Blocks that Reserve(count) would take from the pool, a copy of a shared one included.
  int64_t BlocksNeeded(int32_t count) const;
  // Makes room for positions cp .. cp + count - 1, none of it shared. kExhausted "capacity" names
  // capacity and cp when they do not fit the session, or the pool's own error; nothing changes
  // then.
  Status Reserve(int32_t count);
  // Takes tokens whose K and V were just stored. REQUIRES: reserved.
  void Commit(std::span<const TokenId> tokens);
  // Forgets positions from `length` on and drops blocks that hold none. REQUIRES length <= cp.
  void Truncate(int32_t length);
  void Clear() { Truncate(0); }

  // Blocks that Evict(spans) would take from the pool: one for each shared block into which a
  // position moves.
  int64_t BlocksToEvict(std::span<const TokenSpan> spans) const;
  // Drops these positions; those behind them move down to close the gaps. Blocks before the first
  // one stay as they are, and a shared block is never written: what would land in it goes to a
  // block of the pool. The pool's own error: nothing changes then. kInternal: the storage cannot
  // keep a key at its new position (int8, not finite); the sequence ends before the first span
  // then. REQUIRES: ascending, disjoint, none empty, within [0, cp].
  Status Evict(std::span<const TokenSpan> spans);

  // An equal sequence that shares all blocks. Takes none from the pool.
  Sequence Fork();
  // Takes these for its first blocks, with the caller's reference to each, and drops those that it
  // had. REQUIRES: they hold the same.
  void Replace(std::span<const uint32_t> blocks);
  // Its tokens; empty afterwards, its blocks released.
  TokenList TakeTokens();
  // Takes over blocks that hold `tokens`, with the one reference to each that the caller has.
  // REQUIRES: cp is 0 and tokens.size() <= capacity.
  void Adopt(std::span<const TokenId> tokens, std::vector<uint32_t> blocks);

 private:
  struct BlockRange {
    size_t begin = 0;
    size_t end = 0;
  };
  // Indexes of the blocks into which Evict(spans) moves positions.
  BlockRange Targets(std::span<const TokenSpan> spans) const;

  BlockPool* pool_;
  BlockBytes* bytes_;
  int32_t capacity_;
  TokenList tokens_;
  std::vector<uint32_t> blocks_;
};

}  // namespace gyrator

// Fixed pool of KV blocks with reference counts. Knows ids and counts, not tensors and not tokens.
//
// Does: hand out free blocks (lowest id first, so that a run is reproducible), share them, take
// them back. Does not: know what a block holds (sequence.h), touch K/V bytes (kv_storage.h), choose
// victims. Its own memory grows with the blocks that were ever used at once. Engine thread only.
#pragma once

#include <cstdint>
#include <queue>
#include <span>
#include <vector>

#include "gyrator/status.h"

namespace gyrator {

class BlockPool {
 public:
  // REQUIRES: num_blocks > 0. Fixed for the pool's life.
  explicit BlockPool(uint32_t num_blocks);

  // Appends `count` blocks, one reference each, to *out. All or nothing: kExhausted leaves pool and
  // *out as they were.
  Status Allocate(uint32_t count, std::vector<uint32_t>* out);
  void Share(std::span<const uint32_t> blocks);    // +1 each. REQUIRES: each is live.
  void Release(std::span<const uint32_t> blocks);  // -1 each; free at zero. REQUIRES: each is live.

  uint32_t num_blocks() const { return num_blocks_; }
  uint32_t num_free() const {
    return num_blocks_ - static_cast<uint32_t>(num_refs_.size() - returned_.size());
  }
  uint32_t num_refs(uint32_t block) const {
    return block < num_refs_.size() ? num_refs_[block] : 0;
  }

 private:
  uint32_t num_blocks_;
  std::vector<uint32_t> num_refs_;  // [blocks that were ever handed out]; 0 = free
  // Blocks below num_refs_.size() that are free; the lowest of them goes first.
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> returned_;
};

}  // namespace gyrator

// Memory beside the pool for blocks of K and V that nobody can compute again.
//
// Where there is no swap file, or it is full, what idle sequences hold of their own goes here, so
// that the pool is free for who is at work. Does: keep copies of blocks up to a budget; a copy may
// have several holders (forks share blocks). Does not: compress, choose victims, know what a block
// holds. Takes memory when a block is written and gives it back when the last holder frees it.
//
// Engine thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <vector>

#include "gyrator/status.h"
#include "kv/swap_file.h"

namespace gyrator {

struct SpillStats {
  uint64_t blocks_in_use = 0;
  uint64_t bytes_in_use = 0;
  uint64_t bytes_max = 0;  // the budget
  uint64_t blocks_written = 0;
  uint64_t blocks_read = 0;
};

class SpillMemory {
 public:
  // A budget of less than a block holds nothing. REQUIRES: block_bytes > 0.
  SpillMemory(int64_t block_bytes, uint64_t bytes_max);

  // Copies a block to the lowest free slot, for one holder. kExhausted "spill_full" when the budget
  // is reached, or the system has no memory; nothing changes then. REQUIRES: the pieces have
  // block_bytes together.
  Result<uint32_t> Write(BlockPieces pieces);
  // Copies a block back; the slot stays. REQUIRES below: the slot is held.
  void Read(uint32_t slot, BlockPieces pieces);
  void Share(uint32_t slot);  // one more holder
  void Free(uint32_t slot);   // one holder less
  uint32_t num_holders(uint32_t slot) const { return slots_[slot].holders; }

  // The bytes of a block that left its slot, so that another can take its place before they are in
  // the pool. REQUIRES: one holder, which is none from then on.
  using Bytes = std::unique_ptr<std::byte[]>;
  Bytes Take(uint32_t slot);
  // Puts them where a slot is free. REQUIRES: taken, and nothing was written since.
  uint32_t PutBack(Bytes bytes);
  void Copy(const Bytes& bytes, BlockPieces pieces);

  SpillStats stats() const;

 private:
  struct Slot {
    Bytes bytes;
    uint32_t holders = 0;  // 0: free
  };
  uint32_t Put(Bytes bytes);

  const size_t block_bytes_;
  const uint64_t bytes_max_;
  std::vector<Slot> slots_;                                                    // [slots ever used]
  std::priority_queue<uint32_t, std::vector<uint32_t>, std::greater<>> free_;  // of those
  SpillStats stats_;  // bytes and blocks in use are made when they are asked for
};

}  // namespace gyrator

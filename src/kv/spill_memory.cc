#include "kv/spill_memory.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "base/check.h"

namespace gyrator {

SpillMemory::SpillMemory(int64_t block_bytes, uint64_t bytes_max)
    : block_bytes_(static_cast<size_t>(block_bytes)), bytes_max_(bytes_max) {
  GYRATOR_CHECK(block_bytes > 0);
}

SpillStats SpillMemory::stats() const {
  SpillStats stats = stats_;
  stats.blocks_in_use = slots_.size() - free_.size();
  stats.bytes_in_use = stats.blocks_in_use * block_bytes_;
  stats.bytes_max = bytes_max_;
  return stats;
}

Result<uint32_t> SpillMemory::Write(BlockPieces pieces) {
  const SpillStats now = stats();
  const uint64_t slots_max =
      std::min<uint64_t>(bytes_max_ / block_bytes_, std::numeric_limits<uint32_t>::max());
  if (now.blocks_in_use >= slots_max) {
    return Status::Exhausted("spill memory: " + std::to_string(now.bytes_in_use) + " of at most " +
                             std::to_string(bytes_max_) + " bytes in use")
        .Named("spill_full");
  }
  Bytes bytes(new (std::nothrow) std::byte[block_bytes_]);
  if (bytes == nullptr) {
    return Status::Exhausted("spill memory: the system has no memory for a block of " +
                             std::to_string(block_bytes_) + " bytes")
        .Named("spill_full");
  }
  size_t at = 0;
  for (const auto piece : pieces) {
    GYRATOR_CHECK(piece.size() <= block_bytes_ - at);
    std::memcpy(bytes.get() + at, piece.data(), piece.size());
    at += piece.size();
  }
  GYRATOR_CHECK(at == block_bytes_);
  ++stats_.blocks_written;
  return Put(std::move(bytes));
}

uint32_t SpillMemory::Put(Bytes bytes) {
  if (free_.empty()) {
    slots_.emplace_back();
    free_.push(static_cast<uint32_t>(slots_.size() - 1));
  }
  const uint32_t slot = free_.top();
  free_.pop();
  slots_[slot] = {.bytes = std::move(bytes), .holders = 1};
  return slot;
}

void SpillMemory::Read(uint32_t slot, BlockPieces pieces) { Copy(slots_[slot].bytes, pieces); }

void SpillMemory::Copy(const Bytes& bytes, BlockPieces pieces) {
  size_t at = 0;
  for (const auto piece : pieces) {
    GYRATOR_CHECK(piece.size() <= block_bytes_ - at);
    std::memcpy(piece.data(), bytes.get() + at, piece.size());
    at += piece.size();
  }
  ++stats_.blocks_read;
}

void SpillMemory::Share(uint32_t slot) {
  GYRATOR_CHECK(slots_[slot].holders > 0);
  ++slots_[slot].holders;
}

void SpillMemory::Free(uint32_t slot) {
  GYRATOR_CHECK(slots_[slot].holders > 0);
  if (--slots_[slot].holders > 0) return;
  slots_[slot].bytes.reset();
  free_.push(slot);
}

SpillMemory::Bytes SpillMemory::Take(uint32_t slot) {
  GYRATOR_CHECK(slots_[slot].holders == 1);
  Bytes bytes = std::move(slots_[slot].bytes);
  Free(slot);
  return bytes;
}

uint32_t SpillMemory::PutBack(Bytes bytes) { return Put(std::move(bytes)); }

}  // namespace gyrator

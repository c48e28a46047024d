#include "kv/sequence_manager.h"

#include <map>

namespace gyrator {

SequenceManager::SequenceManager(BlockPool* pool, BlockBytes* bytes,
                                 const SequenceManagerOptions& options)
    : pool_(pool),
      bytes_(bytes),
      options_(options),
      slots_(options.slots),
      radix_(pool, options.cost) {}

SequenceManager::Entry& SequenceManager::Get(SlotId slot) {
  GYRATOR_CHECK(slots_.IsHeld(slot));
  return *entries_[static_cast<size_t>(slot)];
}

const SequenceManager::Entry& SequenceManager::Get(SlotId slot) const {
  GYRATOR_CHECK(slots_.IsHeld(slot));
  return *entries_[static_cast<size_t>(slot)];
}

Result<SlotId> SequenceManager::Open(std::string key, int32_t capacity) {
  GYRATOR_ASSIGN_OR_RETURN(const SlotId slot, slots_.Acquire());
  if (static_cast<size_t>(slot) >= entries_.size()) entries_.resize(static_cast<size_t>(slot) + 1);
  entries_[static_cast<size_t>(slot)].emplace(
      Entry{std::move(key), Sequence(pool_, bytes_, capacity), false});
  return slot;
}

Status SequenceManager::Close(SlotId slot) {
  GYRATOR_RETURN_IF_ERROR(slots_.Release(slot));
  entries_[static_cast<size_t>(slot)].reset();
  return {};
}

Result<SlotId> SequenceManager::Fork(SlotId slot) {
  GYRATOR_ASSIGN_OR_RETURN(const SlotId child, Open(Get(slot).key, Get(slot).sequence.capacity()));
  Get(child).sequence = Get(slot).sequence.Fork();
  Get(child).foreign = Get(slot).foreign;
  return child;
}

Reused SequenceManager::Find(SlotId slot, std::span<const TokenId> tokens) const {
  const Entry& entry = Get(slot);
  Reused reused{.own = entry.sequence.CommonPrefix(tokens), .cached = 0};
  if (reused.own + 1 >= std::ssize(tokens)) return reused;  // a row is left at most
  const int32_t cached = radix_.Find(entry.key, tokens.first(tokens.size() - 1));
  if (cached > reused.own) reused.cached = cached - reused.own;
  return reused;
}

Reused SequenceManager::Sync(SlotId slot, std::span<const TokenId> tokens) {
  Entry& entry = Get(slot);
  const Reused reused = Find(slot, tokens);
  ++now_;
  if (reused.cached == 0) {
    Truncate(slot, reused.own);
    return reused;
  }
  RadixTree::Match match = radix_.Acquire(entry.key, tokens.first(tokens.size() - 1), now_);
  Truncate(slot, 0);
  entry.sequence.Adopt(tokens.first(static_cast<size_t>(match.length)), std::move(match.blocks));
  return reused;
}

void SequenceManager::Truncate(SlotId slot, int32_t length) {
  Entry& entry = Get(slot);
  entry.sequence.Truncate(length);
  if (length == 0) entry.foreign = false;
}

Status SequenceManager::Reserve(SlotId slot, int32_t count) {
  Entry& entry = Get(slot);
  Sequence& sequence = entry.sequence;
  if (int64_t{sequence.cp()} + count > sequence.capacity()) return sequence.Reserve(count);
  if (count > 0 && sequence.AppendsToShared()) {
    // Often only the tree holds the last block too: it gets the longer list later.
    radix_.Detach(entry.key, sequence.tokens().ToVector(), sequence.last_block(), now_);
  }
  const int64_t short_of = sequence.BlocksNeeded(count) - pool_->num_free();
  if (short_of > 0) {
    counts_.blocks_evicted +=
        static_cast<uint64_t>(radix_.Evict(static_cast<int32_t>(short_of), now_));
  }
  const bool copies = count > 0 && sequence.AppendsToShared();
  GYRATOR_RETURN_IF_ERROR(sequence.Reserve(count));
  counts_.blocks_copied += copies ? 1 : 0;
  return {};
}

void SequenceManager::Commit(SlotId slot, std::span<const TokenId> tokens) {
  Get(slot).sequence.Commit(tokens);
}

void SequenceManager::Publish(SlotId slot) {
  const Entry& entry = Get(slot);
  const Sequence& sequence = entry.sequence;
  if (entry.foreign) return;
  ++now_;
  radix_.Insert(entry.key, sequence.tokens().ToVector(),
                sequence.blocks().first(static_cast<size_t>(BlocksFor(sequence.cp()))), now_);
  const int32_t over = radix_.num_nodes() - options_.cached_blocks_max;
  if (over > 0) counts_.blocks_evicted += static_cast<uint64_t>(radix_.Evict(over, now_));
}

KvCounts SequenceManager::counts() const {
  KvCounts counts = counts_;
  counts.slots_total = slots_.capacity();
  counts.slots_free = slots_.num_free();
  counts.blocks_total = static_cast<int32_t>(pool_->num_blocks());
  counts.blocks_free = static_cast<int32_t>(pool_->num_free());
  counts.blocks_cached = radix_.num_nodes();
  counts.leaves_cached = radix_.num_leaves();
  return counts;
}

bool SequenceManager::Check(std::string* why) const {
  if (!radix_.Check(why)) return false;
  std::map<uint32_t, uint32_t> held = radix_.Holds();
  for (const auto& entry : entries_) {
    if (!entry) continue;
    for (uint32_t block : entry->sequence.blocks()) ++held[block];
  }
  for (const auto& [block, count] : held) {
    if (pool_->num_refs(block) != count) *why = "references of block " + std::to_string(block);
  }
  if (pool_->num_free() + held.size() != pool_->num_blocks()) *why = "blocks that nobody holds";
  return why->empty();
}

}  // namespace gyrator

#include "kv/sequence_manager.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

std::span<const TokenId> AllButLast(std::span<const TokenId> tokens) {
  return tokens.first(tokens.empty() ? 0 : tokens.size() - 1);
}

}  // namespace

SequenceManager::SequenceManager(BlockPool* pool, BlockBytes* bytes,
                                 const SequenceManagerOptions& options)
    : pool_(pool),
      bytes_(bytes),
      options_(options),
      slots_(options.slots),
      radix_(pool, options.cost, {options.swap, bytes}) {}

SequenceManager::Entry& SequenceManager::Get(SlotId slot) {
  GYRATOR_CHECK(slots_.IsHeld(slot));
  return *entries_[static_cast<size_t>(slot)];
}

const SequenceManager::Entry& SequenceManager::Get(SlotId slot) const {
  GYRATOR_CHECK(slots_.IsHeld(slot));
  return *entries_[static_cast<size_t>(slot)];
}

SequenceManager::Entry& SequenceManager::Live(SlotId slot) {
  GYRATOR_CHECK(!IsParked(slot));
  return Get(slot);
}

Result<SlotId> SequenceManager::Open(std::string key, int32_t capacity) {
  GYRATOR_ASSIGN_OR_RETURN(const SlotId slot, slots_.Acquire());
  if (static_cast<size_t>(slot) >= entries_.size()) entries_.resize(static_cast<size_t>(slot) + 1);
  entries_[static_cast<size_t>(slot)].emplace(std::move(key), Sequence(pool_, bytes_, capacity));
  return slot;
}

Status SequenceManager::Close(SlotId slot) {
  GYRATOR_RETURN_IF_ERROR(slots_.Release(slot));
  FreeSwapped(&*entries_[static_cast<size_t>(slot)]);
  entries_[static_cast<size_t>(slot)].reset();
  return {};
}

const TokenList& SequenceManager::tokens(SlotId slot) const {
  const Entry& entry = Get(slot);
  return entry.parked ? entry.parked->tokens : entry.sequence.tokens();
}

const Sequence& SequenceManager::sequence(SlotId slot) const {
  GYRATOR_CHECK(!IsParked(slot));
  return Get(slot).sequence;
}

Result<SlotId> SequenceManager::Fork(SlotId slot) {
  GYRATOR_ASSIGN_OR_RETURN(const SlotId child,
                           Open(Live(slot).key, Live(slot).sequence.capacity()));
  Get(child).sequence = Get(slot).sequence.Fork();
  Get(child).exact = Get(slot).exact;
  return child;
}

int32_t SequenceManager::KeptOf(const Entry& entry) const {
  const TokenList& tokens = entry.parked->tokens;
  auto blocks =
      static_cast<int32_t>(std::max(entry.parked->swapped.size(), entry.parked->places.size()));
  if (!entry.holds_its_own()) {
    blocks = std::max(blocks, radix_.Find(entry.key, tokens.ToVector()) / kBlockPositions);
  }
  return std::min(tokens.size(), blocks * kBlockPositions);
}

Reused SequenceManager::FindWith(SlotId slot, std::span<const TokenId> tokens, int32_t length_max,
                                 int32_t cached) const {
  const Entry& entry = Get(slot);
  const int32_t has = entry.parked ? KeptOf(entry) : entry.sequence.cp();
  const int32_t common = this->tokens(slot).CommonPrefix(tokens);
  Reused reused{.own = std::min({common, has, length_max}), .cached = 0};
  if (reused.own + 1 >= std::ssize(tokens)) return reused;  // a row is left at most
  const bool all_exact = std::min(has, length_max) <= entry.exact;
  if (!all_exact && reused.own > entry.exact) return reused;
  if (cached > reused.own) reused.cached = cached - reused.own;
  return reused;
}

Reused SequenceManager::Find(SlotId slot, std::span<const TokenId> tokens,
                             int32_t length_max) const {
  return FindWith(slot, tokens, length_max, radix_.FindAny(Get(slot).key, AllButLast(tokens)));
}

void SequenceManager::Warm(SlotId slot, std::span<const TokenId> tokens) {
  Entry& entry = Live(slot);
  const std::span<const TokenId> usable = AllButLast(tokens);
  const int32_t cold = radix_.NumCold(entry.key, usable);
  if (cold == 0 || Find(slot, tokens).cached == 0) return;
  const RadixTree::Match held = radix_.Acquire(entry.key, usable, now_);  // it must not go now
  const bool busy = std::exchange(entry.busy, true);
  MakeRoom(cold);
  entry.busy = busy;
  counts_.blocks_warmed += static_cast<uint64_t>(radix_.Warm(entry.key, usable, now_));
  pool_->Release(held.blocks);
}

Reused SequenceManager::Sync(SlotId slot, std::span<const TokenId> tokens) {
  Entry& entry = Live(slot);
  entry.last_used = ++now_;
  Warm(slot, tokens);
  const std::span<const TokenId> usable = AllButLast(tokens);
  const Reused reused = FindWith(slot, tokens, kAll, radix_.Find(entry.key, usable));
  if (reused.cached == 0) {
    Truncate(slot, reused.own);
    return reused;
  }
  RadixTree::Match match = radix_.Acquire(entry.key, usable, now_);
  Truncate(slot, 0);
  entry.sequence.Adopt(tokens.first(static_cast<size_t>(match.length)), std::move(match.blocks));
  return reused;
}

Result<Reused> SequenceManager::ResumeAndSync(SlotId slot, std::span<const TokenId> tokens) {
  const std::string key = Get(slot).key;
  radix_.Guard(key, AllButLast(tokens));
  Status status = Resume(slot);
  const Reused reused = status.ok() ? Sync(slot, tokens) : Reused();
  radix_.LetGo(key, AllButLast(tokens));
  if (status.ok()) return reused;
  if (status.name() != "kv_pool") return status;
  GYRATOR_RETURN_IF_ERROR(Resume(slot));
  return Sync(slot, tokens);
}

void SequenceManager::Truncate(SlotId slot, int32_t length) {
  Entry& entry = Live(slot);
  entry.sequence.Truncate(length);
  entry.CountExact(kAll);
}

void SequenceManager::SetForeign(SlotId slot) { Live(slot).CountExact(0); }

Status SequenceManager::Reserve(SlotId slot, int32_t count) {
  Entry& entry = Live(slot);
  Sequence& sequence = entry.sequence;
  if (int64_t{sequence.cp()} + count > sequence.capacity()) return sequence.Reserve(count);
  const auto detach = [&](bool longer_too) {
    if (count == 0 || !sequence.AppendsToShared()) return;
    radix_.Detach(entry.key, sequence.tokens().ToVector(), sequence.last_block(), longer_too);
  };
  detach(false);  // often only the tree holds the last block too: it gets the longer list later
  const bool busy = std::exchange(entry.busy, true);
  MakeRoom(sequence.BlocksNeeded(count));
  const auto short_of_room = [&] { return sequence.BlocksNeeded(count) > pool_->num_free(); };
  if (short_of_room()) detach(true);  // rather than fail
  if (short_of_room() && sequence.AppendsToShared()) SpillShared(INT64_MAX, &entry);
  entry.busy = busy;
  const bool copies = count > 0 && sequence.AppendsToShared();
  const int64_t needed = sequence.BlocksNeeded(count);
  if (needed > pool_->num_free()) return NoRoom(needed);
  GYRATOR_RETURN_IF_ERROR(sequence.Reserve(count));
  counts_.blocks_copied += copies ? 1 : 0;
  return {};
}

Status SequenceManager::Evict(SlotId slot, std::span<const TokenSpan> spans) {
  Entry& entry = Live(slot);
  Sequence& sequence = entry.sequence;
  if (spans.empty()) return {};
  const int32_t before = sequence.cp(), begin = spans.front().begin;
  const bool busy = std::exchange(entry.busy, true);
  MakeRoom(sequence.BlocksToEvict(spans));
  const auto short_of_room = [&] { return sequence.BlocksToEvict(spans) > pool_->num_free(); };
  if (short_of_room()) {  // rather than fail
    radix_.Forget(entry.key, sequence.tokens().ToVector(), sequence.blocks(), begin, now_);
  }
  if (short_of_room()) SpillShared(INT64_MAX, &entry);
  entry.busy = busy;
  const int64_t needed = sequence.BlocksToEvict(spans);
  if (needed > pool_->num_free()) return NoRoom(needed);
  Status status = sequence.Evict(spans);
  if (sequence.cp() == before) return status;
  entry.CountExact(begin);
  ++counts_.evictions;
  counts_.tokens_evicted += static_cast<uint64_t>(before - sequence.cp());
  return status;
}

void SequenceManager::MakeRoom(int64_t blocks) {
  do {
    const int64_t short_of = blocks - pool_->num_free();
    if (short_of <= 0) return;
    counts_.blocks_evicted +=
        static_cast<uint64_t>(radix_.Evict(static_cast<int32_t>(short_of), now_));
  } while (blocks > pool_->num_free() &&
           (ParkOne() || SpillShared(blocks - pool_->num_free(), nullptr)));
}

bool SequenceManager::ParkOne() {
  std::vector<std::pair<uint64_t, SlotId>> idle;
  for (SlotId slot = 0; slot < std::ssize(entries_); ++slot) {
    const std::optional<Entry>& entry = entries_[static_cast<size_t>(slot)];
    if (!entry || entry->busy || !HoldsPoolBlocks(*entry)) continue;
    idle.emplace_back(entry->last_used, slot);
  }
  std::sort(idle.begin(), idle.end());
  return std::any_of(idle.begin(), idle.end(), [this](const auto& candidate) {
    Entry& entry = Get(candidate.second);
    return (entry.parked ? SpillOwn(&entry) : Park(candidate.second)).ok();
  });
}

void SequenceManager::SetBusy(SlotId slot, bool busy) {
  Entry& entry = Get(slot);
  entry.busy = busy;
  entry.last_used = ++now_;
}

Result<uint32_t> SequenceManager::WriteOut(uint32_t block) {
  const auto pieces = bytes_->Pieces(block);
  Result<uint32_t> swapped = options_.swap->Write(pieces);
  const bool full = swapped.status().code() == Code::kExhausted;
  if (full && radix_.FreeCold(1, now_) > 0) swapped = options_.swap->Write(pieces);
  return swapped;
}

Status SequenceManager::Park(SlotId slot) {
  Entry& entry = Get(slot);
  if (entry.parked) return {};
  Sequence& sequence = entry.sequence;
  Parked parked;
  Status status;
  const std::span<const uint32_t> blocks =
      sequence.blocks().first(static_cast<size_t>(BlocksFor(sequence.cp())));
  for (size_t i = 0; i < blocks.size() && options_.swap != nullptr && status.ok(); ++i) {
    const Result<uint32_t> swapped = WriteOut(blocks[i]);
    if (swapped.ok()) parked.swapped.push_back(*swapped);
    status = swapped.status();
  }
  if (entry.holds_its_own() && parked.swapped.size() < blocks.size()) {
    for (uint32_t swapped : parked.swapped) options_.swap->Free(swapped);
    const Status spilled = SpillOwn(&entry);
    return spilled.ok() || status.ok() ? spilled : status;
  }
  parked.tokens = sequence.TakeTokens();
  entry.parked = std::move(parked);
  ++counts_.sequences_parked;
  return {};
}

void SequenceManager::FreeSwapped(Entry* entry) {
  if (!entry->parked) return;
  for (uint32_t swapped : entry->parked->swapped) options_.swap->Free(swapped);
  entry->parked->swapped.clear();
  for (const Place& place : entry->parked->places) {
    place.spilled ? options_.spill->Free(place.id) : pool_->Release({&place.id, 1});
  }
  entry->parked->places.clear();
}

Status SequenceManager::ReadSwapped(Entry* entry, size_t first, std::vector<uint32_t>* blocks) {
  const std::vector<uint32_t>& swapped = entry->parked->swapped;
  for (size_t i = first; i < swapped.size(); ++i) {
    GYRATOR_RETURN_IF_ERROR(pool_->Allocate(1, blocks));
    const auto pieces = bytes_->Pieces(blocks->back());
    const Status status = options_.swap->Read(swapped[i], pieces);
    if (status.ok()) continue;
    pool_->Release(std::span(*blocks).last(1));
    blocks->pop_back();
    return status;
  }
  return {};
}

Status SequenceManager::Resume(SlotId slot) {
  Entry& entry = Get(slot);
  if (!entry.parked) return {};
  if (!entry.parked->places.empty()) return ResumeSpilled(&entry);
  const std::vector<TokenId> tokens = entry.parked->tokens.ToVector();
  std::vector<uint32_t> blocks;
  if (!entry.holds_its_own()) {  // what is cached is shared again, but for a part of a block
    RadixTree::Match match = radix_.Acquire(entry.key, tokens, now_);
    const auto whole = static_cast<size_t>(match.length / kBlockPositions);
    blocks = std::move(match.blocks);
    pool_->Release(std::span(blocks).subspan(whole));
    blocks.resize(whole);
  }
  const size_t kept = blocks.size();
  const auto wanted = static_cast<int64_t>(entry.parked->swapped.size()) - std::ssize(blocks);
  MakeRoom(wanted);
  if (wanted > pool_->num_free()) {
    pool_->Release(blocks);
    return NoRoom(wanted);
  }
  Status status = ReadSwapped(&entry, kept, &blocks);
  if (!status.ok() && entry.holds_its_own()) {
    pool_->Release(blocks);
    blocks.clear();
  } else {
    status = {};
  }
  FreeSwapped(&entry);
  entry.parked.reset();
  const auto length = std::min(tokens.size(), blocks.size() * kBlockPositions);
  entry.sequence.Adopt(std::span(tokens).first(length), std::move(blocks));
  entry.CountExact(kAll);
  counts_.tokens_lost += tokens.size() - length;
  ++counts_.sequences_resumed;
  return status;
}

void SequenceManager::Commit(SlotId slot, std::span<const TokenId> tokens) {
  Live(slot).sequence.Commit(tokens);
}

void SequenceManager::Publish(SlotId slot) {
  Entry& entry = Live(slot);
  Sequence& sequence = entry.sequence;
  if (entry.holds_its_own()) return;
  ++now_;
  const std::vector<TokenId> tokens = sequence.tokens().ToVector();
  radix_.Insert(entry.key, tokens,
                sequence.blocks().first(static_cast<size_t>(BlocksFor(sequence.cp()))), now_);
  // Of equal blocks one is enough: the tree's, which could not go while what follows it is used.
  const auto whole = static_cast<size_t>(sequence.cp() / kBlockPositions);
  const std::vector<uint32_t> cached = radix_.Acquire(entry.key, tokens, now_).blocks;
  sequence.Replace(std::span(cached).first(whole));
  pool_->Release(std::span(cached).subspan(whole));
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
  counts.blocks_cold = radix_.num_cold();
  counts.blocks_cooled = radix_.written();
  for (const auto& entry : entries_) counts.parked += entry && entry->parked ? 1 : 0;
  return counts;
}

bool SequenceManager::CheckOwn(std::string* why) const {
  const std::map<uint32_t, uint32_t> cached = radix_.Holds();
  for (const auto& entry : entries_) {
    if (!entry || !entry->holds_its_own()) continue;
    const auto length = entry->parked ? entry->parked->tokens.size() : entry->sequence.cp();
    if (entry->exact < 0 || entry->exact >= length) *why = "a sequence that is all exact";
    if (entry->parked && std::ssize(entry->parked->swapped) != BlocksFor(length) &&
        std::ssize(entry->parked->places) != BlocksFor(length)) {
      *why = "a part of what cannot be computed again";
    }
    const std::span<const uint32_t> blocks = entry->sequence.blocks();
    for (auto i = static_cast<size_t>(BlocksFor(entry->exact)); i < blocks.size(); ++i) {
      if (cached.contains(blocks[i])) *why = "a sequence's own block in the tree";
    }
  }
  return why->empty();
}

bool SequenceManager::Check(std::string* why) const {
  if (!radix_.Check(why) || !CheckOwn(why)) return false;
  std::map<uint32_t, uint32_t> held = radix_.Holds(), spilled;
  for (const auto& entry : entries_) {
    if (!entry) continue;
    for (uint32_t block : entry->sequence.blocks()) ++held[block];
    if (!entry->parked) continue;
    for (const Place& place : entry->parked->places) {
      ++(place.spilled ? spilled : held)[place.id];
    }
  }
  for (const auto& [slot, count] : spilled) {
    if (options_.spill->num_holders(slot) != count) *why = "holders of a spilled block";
  }
  if (options_.spill != nullptr && options_.spill->stats().blocks_in_use != spilled.size()) {
    *why = "slots of the spill memory that nobody holds";
  }
  for (const auto& [block, count] : held) {
    if (pool_->num_refs(block) != count) *why = "references of block " + std::to_string(block);
  }
  auto swapped = static_cast<uint64_t>(radix_.num_cold());
  for (const auto& entry : entries_) {
    if (entry && entry->parked) swapped += entry->parked->swapped.size();
  }
  if (options_.swap != nullptr && options_.swap->stats().blocks_in_use != swapped) {
    *why = "slots of the swap file that nobody holds";
  }
  if (pool_->num_free() + held.size() != pool_->num_blocks()) *why = "blocks that nobody holds";
  return why->empty();
}

}  // namespace gyrator

// What cannot be computed again, while the pool has no room for it: block by block to memory beside
// the pool, and back.
//
// An idle sequence that is parked this way has each of its blocks in one of two places: the pool,
// or the spill memory. So the pool is refused to a request only when both are full.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "kv/sequence_manager.h"

namespace gyrator {

bool SequenceManager::HoldsPoolBlocks(const Entry& entry) {
  if (!entry.parked) return !entry.sequence.blocks().empty();
  return std::any_of(entry.parked->places.begin(), entry.parked->places.end(),
                     [](const Place& place) { return !place.spilled; });
}

void SequenceManager::ParkInPlace(Entry* entry) {
  if (entry->parked) return;
  Parked parked = {.tokens = {}, .places = PlacesOf(*entry)};
  for (const Place& place : parked.places) pool_->Share({&place.id, 1});
  parked.tokens = entry->sequence.TakeTokens();
  entry->parked = std::move(parked);
  ++counts_.sequences_parked;
}

std::vector<SequenceManager::Place> SequenceManager::PlacesOf(const Entry& entry) {
  if (entry.parked) return entry.parked->places;
  std::vector<Place> places;
  for (const uint32_t block :
       entry.sequence.blocks().first(static_cast<size_t>(BlocksFor(entry.sequence.cp())))) {
    places.push_back({.spilled = false, .id = block});
  }
  return places;
}

Status SequenceManager::SpillOwn(Entry* entry) {
  const std::vector<Place> places = PlacesOf(*entry);
  Status full;
  int32_t spilled = 0;
  for (size_t i = places.size(); i-- > 0 && full.ok();) {  // the first ones are often shared
    const uint32_t block = places[i].id;
    // A block that someone else holds would stay where it is.
    if (places[i].spilled || pool_->num_refs(block) != 1) continue;
    const Result<uint32_t> slot = options_.spill == nullptr
                                      ? Result<uint32_t>(Status::Exhausted("no spill memory"))
                                      : options_.spill->Write(bytes_->Pieces(block));
    full = slot.status();
    if (!slot.ok()) break;
    ParkInPlace(entry);
    pool_->Release({&block, 1});
    entry->parked->places[i] = {.spilled = true, .id = *slot};
    ++spilled;
  }
  if (spilled > 0) return {};
  return full.ok() ? Status::Exhausted("others hold all of its blocks") : full;
}

bool SequenceManager::SpillShared(int64_t count, const Entry* user) {
  if (options_.spill == nullptr) return false;
  struct Holder {
    Entry* entry;
    size_t index;
  };
  std::map<uint32_t, std::vector<Holder>> holders;  // [block], of idle sequences' own
  for (std::optional<Entry>& entry : entries_) {
    if (!entry || entry->busy || !entry->holds_its_own() || !HoldsPoolBlocks(*entry)) continue;
    const std::vector<Place> places = PlacesOf(*entry);
    for (size_t i = 0; i < places.size(); ++i) {
      if (!places[i].spilled) holders[places[i].id].push_back({&*entry, i});
    }
  }
  const std::map<uint32_t, uint32_t> cached = radix_.Holds();
  std::set<uint32_t> used;
  if (user != nullptr) used.insert(user->sequence.blocks().begin(), user->sequence.blocks().end());
  std::vector<std::pair<size_t, uint32_t>> order;  // the last positions first: leaves of the tree
  for (const auto& [block, its] : holders) {
    const size_t others = pool_->num_refs(block) - its.size() - (cached.contains(block) ? 1 : 0);
    if (others == (user == nullptr ? 0 : 1) && others == used.count(block)) {
      order.emplace_back(its[0].index, block);
    }
  }
  std::sort(order.rbegin(), order.rend());
  int64_t spilled = 0;
  for (const auto& [index, block] : order) {
    if (spilled == count) break;
    const Result<uint32_t> slot = options_.spill->Write(bytes_->Pieces(block));
    if (!slot.ok()) break;
    for (const Holder& holder : holders[block]) {
      ParkInPlace(holder.entry);
      holder.entry->parked->places[holder.index] = {.spilled = true, .id = *slot};
      options_.spill->Share(*slot);
      pool_->Release({&block, 1});
    }
    options_.spill->Free(*slot);  // the one of Write
    ++spilled;
  }
  return spilled > 0;
}

// All that share the copy hold the block from then on, as they did before it was spilled.
void SequenceManager::UnspillShared(uint32_t slot, uint32_t block) {
  bool first = true;
  for (std::optional<Entry>& entry : entries_) {
    if (!entry || !entry->parked) continue;
    for (Place& place : entry->parked->places) {
      if (!place.spilled || place.id != slot) continue;
      place = {.spilled = false, .id = block};
      options_.spill->Free(slot);
      if (!std::exchange(first, false)) pool_->Share({&block, 1});
    }
  }
}

Status SequenceManager::ReadSpilled(Entry* entry, size_t index) {
  std::vector<uint32_t> block;
  const uint32_t slot = entry->parked->places[index].id;
  MakeRoom(1);
  if (pool_->num_free() == 0 && options_.spill->num_holders(slot) == 1) {
    // Both are full: the block changes places with one of another sequence.
    SpillMemory::Bytes bytes = options_.spill->Take(slot);
    MakeRoom(1);
    if (pool_->num_free() == 0) {
      entry->parked->places[index].id = options_.spill->PutBack(std::move(bytes));
      return NoRoom(1);
    }
    GYRATOR_RETURN_IF_ERROR(pool_->Allocate(1, &block));
    options_.spill->Copy(bytes, bytes_->Pieces(block[0]));
    entry->parked->places[index] = {.spilled = false, .id = block[0]};
    return {};
  }
  if (pool_->num_free() == 0) return NoRoom(1);
  GYRATOR_RETURN_IF_ERROR(pool_->Allocate(1, &block));
  options_.spill->Read(slot, bytes_->Pieces(block[0]));
  if (options_.spill->num_holders(slot) > 1) {
    UnspillShared(slot, block[0]);
  } else {
    options_.spill->Free(slot);
    entry->parked->places[index] = {.spilled = false, .id = block[0]};
  }
  return {};
}

Status SequenceManager::ResumeSpilled(Entry* entry) {
  const bool busy = std::exchange(entry->busy, true);  // its blocks in the pool stay there
  const auto spilled = [](const Place& place) { return place.spilled; };
  const std::vector<Place>& places = entry->parked->places;
  MakeRoom(std::count_if(places.begin(), places.end(), spilled));
  Status status;
  for (size_t i = 0; i < places.size() && status.ok(); ++i) {
    if (places[i].spilled) status = ReadSpilled(entry, i);
  }
  entry->busy = busy;
  if (!status.ok()) return status;
  std::vector<uint32_t> blocks;
  for (const Place& place : places) blocks.push_back(place.id);
  const std::vector<TokenId> tokens = entry->parked->tokens.ToVector();
  entry->parked.reset();
  entry->sequence.Adopt(tokens, std::move(blocks));
  ++counts_.sequences_resumed;
  return {};
}

Status SequenceManager::NoRoom(int64_t blocks) const {
  std::string full;
  if (options_.spill != nullptr) {
    const SpillStats spill = options_.spill->stats();
    full = ", " + std::to_string(spill.bytes_in_use) + " of " + std::to_string(spill.bytes_max) +
           " bytes of spill memory are in use";
  }
  return Status::Exhausted(
             "kv pool: " + std::to_string(blocks) + " more blocks wanted, " +
             std::to_string(pool_->num_free()) + " of " + std::to_string(pool_->num_blocks()) +
             " are free" + full +
             "; use a larger pool (--kv-budget), a swap file (--swap, --swap-dir) or a larger "
             "spill budget, or close sessions")
      .Named("kv_pool");
}

}  // namespace gyrator

// All sequences of a pool: who holds which blocks, and which prefixes are cached.
//
// A sequence that does not fit beside the others is parked: its blocks go to the swap file as far
// as that has room, its tokens stay. What could not be kept is computed again, to the same bits.
// Cached prefixes that make room go there too, and make room there for what is parked. What cannot
// be computed again and does not fit there goes to the spill memory.
//
// A sequence has a slot and a key. The key says what must be equal for K and V to be equal, and who
// may see them: model, compute type, template, adapters, banks, namespace. Sequences of one key
// share prefixes through the radix tree; those of different keys never do.
//
// K and V are a function of the tokens, but for what came from elsewhere (SetForeign) and for what
// follows an eviction (Evict). Of such a sequence the first so many positions are exact, still a
// function of the tokens; all that follows is its own:
//   Publish  offers nothing of it.
//   Sync     keeps what the sequence has in common with the tokens. A cached prefix takes the place
//            of it only when it is all exact (nothing of its own is left then). Find says the same.
//   Park     keeps all of it: in the swap file, or else block by block in the spill memory and,
//            what finds no place there, in the pool. Resume does not look for it in the cache.
//   Fork     the other one has as much that is exact.
//   Truncate to what is exact, by whatever call, makes it a sequence like any other.
//
// Knows tokens, not messages, and plans no passes. Engine thread only.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gyrator/status.h"
#include "kv/radix_tree.h"
#include "kv/sequence.h"
#include "kv/slots.h"
#include "kv/spill_memory.h"
#include "kv/swap_file.h"

namespace gyrator {

struct SequenceManagerOptions {
  int32_t slots = 1;
  SwapFile* swap = nullptr;      // where parked sequences and cold prefixes go; null: nowhere
  SpillMemory* spill = nullptr;  // where what cannot be computed again goes else; null: nowhere
  int32_t cached_blocks_max = INT32_MAX;  // nodes of the radix tree; what is in use may exceed it
  RecomputeCost cost = {};
};

// Where the tokens of a Sync were found.
struct Reused {
  int32_t own = 0;     // in the sequence itself
  int32_t cached = 0;  // in the prefix cache, beyond those
};

struct KvCounts {
  int32_t slots_total = 0;
  int32_t slots_free = 0;
  int32_t blocks_total = 0;
  int32_t blocks_free = 0;
  int32_t blocks_cached = 0;  // nodes of the radix tree
  int32_t leaves_cached = 0;
  int32_t blocks_cold = 0;      // nodes of the radix tree that are in the swap file
  uint64_t blocks_copied = 0;   // copy-on-write
  uint64_t blocks_evicted = 0;  // from the tree, to make room
  uint64_t blocks_cooled = 0;   // of those, to the swap file
  uint64_t blocks_warmed = 0;   // read back
  int32_t parked = 0;           // sequences
  uint64_t sequences_parked = 0;
  uint64_t sequences_resumed = 0;
  uint64_t tokens_lost = 0;  // of parked sequences: to be computed again
  uint64_t evictions = 0;    // from the middle of a sequence
  uint64_t tokens_evicted = 0;
};

class SequenceManager {
 public:
  // `pool` and `bytes` outlive the manager.
  SequenceManager(BlockPool* pool, BlockBytes* bytes, const SequenceManagerOptions& options);

  // An empty sequence of `capacity` positions. kExhausted "slots".
  Result<SlotId> Open(std::string key, int32_t capacity);
  // Gives slot and blocks back; what was published stays cached. kInvalidArgument "slot".
  Status Close(SlotId slot);
  // An equal sequence in a slot of its own; shares all blocks. kExhausted "slots".
  Result<SlotId> Fork(SlotId slot);

  // REQUIRES below: the slot is held.
  const TokenList& tokens(SlotId slot) const;  // also of a parked one
  int32_t capacity(SlotId slot) const { return Get(slot).sequence.capacity(); }
  bool IsParked(SlotId slot) const { return Get(slot).parked.has_value(); }
  // REQUIRES below: not parked.
  const Sequence& sequence(SlotId slot) const;

  // Makes the sequence the longest prefix of `tokens` that it or the prefix cache holds; of the
  // latter at most tokens.size() - 1, so that a row is left whose logits are fresh. What is cached
  // in the swap file is read if the pool has, or can make, room for it.
  Reused Sync(SlotId slot, std::span<const TokenId> tokens);
  // Resume and Sync of a sequence that may be parked. What the cache has of `tokens` does not go to
  // make room for the sequence itself, unless there is no other: the sequence gets what Find said.
  // Errors of Resume.
  Result<Reused> ResumeAndSync(SlotId slot, std::span<const TokenId> tokens);
  // What Sync would find if there is room for it; changes nothing. Of a parked slot: behind a
  // Resume that finds room. As if the sequence had been truncated to `length_max` before.
  Reused Find(SlotId slot, std::span<const TokenId> tokens, int32_t length_max = INT32_MAX) const;
  // How much of `tokens` is cached under the slot's key, whether or not Sync would take it; the
  // slot may be parked.
  int32_t FindCached(SlotId slot, std::span<const TokenId> tokens) const {
    return radix_.FindAny(Get(slot).key, tokens);
  }
  // The same under all other keys.
  int32_t FindElsewhere(SlotId slot, std::span<const TokenId> tokens) const {
    return radix_.FindElsewhere(Get(slot).key, tokens);
  }
  bool SameKey(SlotId a, SlotId b) const { return Get(a).key == Get(b).key; }
  void Truncate(SlotId slot, int32_t length);
  // Sequence::Reserve; makes room in the pool by dropping cached blocks that nobody uses, and by
  // parking sequences that are not busy, the longest unused first.
  Status Reserve(SlotId slot, int32_t count);
  void Commit(SlotId slot, std::span<const TokenId> tokens);
  // Sequence::Evict; makes room in the pool as Reserve does. What moves is the sequence's own from
  // then on.
  Status Evict(SlotId slot, std::span<const TokenSpan> spans);
  // Offers the sequence as it stands to the prefix cache. Does nothing while some of it is its own.
  void Publish(SlotId slot);
  // The K and V that it holds come from elsewhere (a folder): they are its own.
  void SetForeign(SlotId slot);
  // Whether some of its K and V are its own: no function of the tokens.
  bool HoldsItsOwn(SlotId slot) const { return Get(slot).holds_its_own(); }

  // A busy sequence is not parked to make room for another.
  void SetBusy(SlotId slot, bool busy);
  // Gives the blocks of a sequence back; of one that holds its own, at least one of them.
  // kExhausted, kIo: some of it is its own, and neither swap file nor spill memory takes it;
  // nothing changes then.
  Status Park(SlotId slot);
  // Brings a parked sequence back as far as it was kept; what is left of it has to be decoded
  // again. kExhausted "kv_pool": there is no room; it stays parked. kCorruption, kIo: some of it is
  // its own, and a block of it cannot be read; it is empty then. Nothing to do when not parked.
  Status Resume(SlotId slot);

  RadixTree& radix() { return radix_; }
  uint64_t now() const { return now_; }  // of the radix tree: Syncs and Publishes so far
  KvCounts counts() const;

  // Checks every invariant; for tests. True, or false with the reason.
  bool Check(std::string* why) const;

 private:
  // Where a block of a parked sequence is: in the pool, or in a slot of the spill memory.
  struct Place {
    bool spilled = false;
    uint32_t id = 0;
  };
  // A sequence that is not at work: of one that holds its own, all blocks are in the swap file or
  // have a place each.
  struct Parked {
    TokenList tokens;
    std::vector<uint32_t> swapped = {};  // slots of the swap file: the first blocks of it
    std::vector<Place> places = {};      // of its blocks; empty: they are in the swap file
  };
  static constexpr int32_t kAll = INT32_MAX;  // also of the positions to come
  struct Entry {
    Entry(std::string its_key, Sequence its_sequence)
        : key(std::move(its_key)), sequence(std::move(its_sequence)) {}

    bool holds_its_own() const { return exact != kAll; }
    // After it became shorter, or less of it exact.
    void CountExact(int32_t exact_max) {
      exact = std::min(exact, exact_max);
      if (sequence.cp() <= exact) exact = kAll;
    }

    std::string key;
    Sequence sequence;
    int32_t exact = kAll;  // leading positions whose K and V are a function of the tokens
    bool busy = false;
    uint64_t last_used = 0;
    std::optional<Parked> parked;  // `sequence` is empty then
  };
  Entry& Get(SlotId slot);
  const Entry& Get(SlotId slot) const;
  Entry& Live(SlotId slot);  // REQUIRES: not parked

  // What Find says, if the cache has `cached` of all but the last of `tokens`.
  Reused FindWith(SlotId slot, std::span<const TokenId> tokens, int32_t length_max,
                  int32_t cached) const;
  // Reads what Sync would take of the swap file.
  void Warm(SlotId slot, std::span<const TokenId> tokens);
  // A block to the swap file, for a parked sequence.
  Result<uint32_t> WriteOut(uint32_t block);
  // Parks the idle sequence that has not been used for longest, or takes more of a parked one out
  // of the pool. False: nothing is left to take.
  bool ParkOne();
  // --- The spill memory (sequence_manager_spill.cc).
  static bool HoldsPoolBlocks(const Entry& entry);
  // Of one that is live, or parked with places.
  static std::vector<Place> PlacesOf(const Entry& entry);
  // Parks a live sequence with all of its blocks where they are.
  void ParkInPlace(Entry* entry);
  // Takes the blocks that it alone holds out of the pool, as far as there is a place for them. An
  // error when that is none of them; nothing changes then.
  Status SpillOwn(Entry* entry);
  // The last that can be done for room. Up to `count` blocks that only idle sequences' own, and the
  // tree, hold go out of the pool; with a `user`, which holds them too, its idle sharers go, so
  // that it need not copy them. False: there are none, or no place for them.
  bool SpillShared(int64_t count, const Entry* user);
  // Whoever has its copy in this slot holds the block from now on.
  void UnspillShared(uint32_t slot, uint32_t block);
  // Brings one block of a parked sequence back to the pool.
  Status ReadSpilled(Entry* entry, size_t index);
  Status ResumeSpilled(Entry* entry);
  // kExhausted "kv_pool", with what can be done.
  Status NoRoom(int64_t blocks) const;
  // As many free blocks as these, if possible.
  void MakeRoom(int64_t blocks);
  void FreeSwapped(Entry* entry);
  // Tokens that a parked sequence has behind a Resume.
  int32_t KeptOf(const Entry& entry) const;
  // What Check says of sequences that hold something of their own.
  bool CheckOwn(std::string* why) const;
  // The blocks of entry.parked from `first` on, read into fresh ones of the pool.
  Status ReadSwapped(Entry* entry, size_t first, std::vector<uint32_t>* blocks);

  BlockPool* pool_;
  BlockBytes* bytes_;
  SequenceManagerOptions options_;
  Slots slots_;
  std::vector<std::optional<Entry>> entries_;  // [slots]
  RadixTree radix_;
  uint64_t now_ = 0;
  KvCounts counts_;  // the counters
};

}  // namespace gyrator

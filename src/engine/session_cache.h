// The part of a session that lives in the cache: its sequence, and the logits after it.
//
// Tokens, K and V, and logits change together: Sync and Commit keep them consistent after every
// step, also when a step fails. Belongs to the engine thread while a request of the session is in
// flight, and to the session's own thread otherwise, which reaches the sequence by posting.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"
#include "kv/sequence_manager.h"

namespace gyrator {

using SharedLogits = std::shared_ptr<std::vector<float>>;

// What a request would find.
struct CacheView {
  std::vector<TokenId> tokens;  // of it, as the window has them
  Reused found;
  bool fits = true;       // nothing has to be evicted
  int32_t elsewhere = 0;  // of the tokens, cached in another namespace; 0: also when not looked at
  bool rebuilds = false;  // the window is made anew
  int32_t lost = 0;       // tokens whose K and V the session no longer has
};

// kExhausted "capacity": a prompt of `length` tokens, `held` of which the session has at most.
Status TooLong(int32_t length, int32_t held, int32_t capacity);

class SessionCache {
 public:
  // `slot` is held, and given back by the owner. `logits` [vocab] belong to all of the sequence;
  // null or empty: to be recomputed.
  SessionCache(SequenceManager* sequences, SlotId slot, SharedLogits logits)
      : sequences_(sequences),
        slot_(slot),
        logits_(logits != nullptr ? std::move(logits) : std::make_shared<std::vector<float>>()) {}

  // Brings a parked sequence back, as far as it was kept: SequenceManager::Resume.
  Status Resume();
  // Makes the sequence a prefix of `tokens` (the whole of it from position 0), from what it holds
  // itself and from what others published, and reserves the rest: the one place that computes
  // positions. Afterwards tokens[cp:] are to be decoded; none are when logits() already belong
  // to all of `tokens`. `reuse` false starts from nothing. kExhausted "capacity" changes nothing;
  // kExhausted "kv_pool" leaves a prefix of `tokens`, or the session parked.
  Result<Reused> Sync(std::span<const TokenId> tokens, bool reuse);
  // What Sync would give, as if the sequence had been truncated to `length_max` before; changes
  // nothing, and leaves room out of account.
  Reused Find(std::span<const TokenId> tokens, bool reuse, int32_t length_max) const;
  // Takes `spans` of the first `length` tokens out; what the sequence has beyond those is dropped.
  // REQUIRES: not parked, length <= cp. kExhausted "kv_pool" evicts nothing.
  Status Evict(int32_t length, std::span<const TokenSpan> spans);
  // Drops all from `length` on. REQUIRES: not parked.
  void Truncate(int32_t length);
  // Takes rows that a pass has just stored; `logits` [vocab] belong to the last of them, or are
  // empty when more rows follow.
  void Commit(std::span<const TokenId> tokens, std::span<const float> logits);

  SequenceManager& sequences() const { return *sequences_; }
  SlotId slot() const { return slot_; }
  // REQUIRES: not parked.
  const Sequence& sequence() const { return sequences_->sequence(slot_); }
  std::span<const float> logits() const { return *logits_; }
  // For another session that stands where this one does; forks share them until they differ.
  SharedLogits shared_logits() const { return logits_; }

 private:
  void ForgetLogits();

  SequenceManager* const sequences_;
  const SlotId slot_;
  SharedLogits logits_;
};

}  // namespace gyrator

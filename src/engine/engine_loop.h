// The engine's loop: which requests wait, which run, and one pass after the other.
//
// Owns pool, storage, sequences and the buffers of a pass. Engine thread only, but for what says
// otherwise.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "engine/engine_thread.h"
#include "engine/model_impl.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/session_impl.h"
#include "engine/window.h"
#include "gyrator/engine.h"
#include "kv/block_pool.h"
#include "kv/kv_storage.h"
#include "kv/sequence_manager.h"
#include "model/forward.h"

namespace gyrator {

using ClockNs = uint64_t (*)();  // steady, in nanoseconds

class EngineLoop {
 public:
  // `options` without defaults left open. `clock` times passes, whose size depends on it, and
  // requests.
  static Result<std::unique_ptr<EngineLoop>> Make(std::shared_ptr<const ModelImpl> model,
                                                  const EngineOptions& options, ClockNs clock);

  // An empty sequence whose prefixes are shared within `name_space`. kExhausted "slots".
  Result<SlotId> OpenSlot(const std::string& name_space);
  void CloseSlot(SlotId slot);
  // Keeps a sequence where it is, whoever wants its room, until Release. REQUIRES: not parked.
  void Hold(SlotId slot);
  void Release(SlotId slot);
  // Forgets cached prefixes that begin with `tokens`, of those that nobody holds.
  void DropCached(const std::string& name_space, std::span<const TokenId> tokens);
  // The request and what it points to stay until its caller is told that it is done. REQUIRES: no
  // other request of its session is in flight (SessionImpl::Claim).
  void Submit(Request* request);
  // kInvalidArgument: a token that the model does not have. Any thread.
  Status CheckTokens(std::span<const TokenId> tokens) const;
  // kExhausted "capacity" when a request of the session for this prompt has no room, whatever is
  // evicted. Changes nothing.
  Status CheckRoom(const SessionImpl& session, const Prompt& prompt) const;
  // What a request of the session for `tokens`, all of them, would find; changes nothing.
  CacheView Look(const SessionImpl& session, std::span<const TokenId> tokens) const;
  // Admits what has room, plans a pass, runs it, commits it.
  Pace Round(bool overdue);

  EngineStats Stats() const;
  SequenceManager& sequences() { return *sequences_; }
  const PagedKv& kv() const { return storage_->view(); }  // any thread; the view never changes

 private:
  EngineLoop(std::shared_ptr<const ModelImpl> model, const EngineOptions& options, ClockNs clock,
             uint32_t num_blocks);

  Pace RunRound(bool overdue);  // without the clock
  // Lets waiting requests run, in order, as far as the pool has room.
  void Admit();
  Status Enter(Request* request);
  // --- The window (engine_window.cc).
  // Makes what the request wants to have fit its session, by evicting what the session's policy
  // says. kExhausted "capacity": that is not enough; "kv_pool" changes nothing.
  Status Fit(Request* request);
  Status EvictWhatMust(Request* request);
  // Takes what was evicted before out of the request's tokens, or makes the window anew.
  // kExhausted "capacity": a window that is made anew has no room for them; nothing has changed.
  Status View(Request* request);
  Status Evict(Request* request, int32_t need);
  // kExhausted "capacity": that many of `tokens`, the window's, cannot go. `scores`: of the policy
  // kScore, by block.
  struct Candidate {
    const SessionImpl* session = nullptr;
    const Window* window = nullptr;  // what has gone before
    std::span<const TokenId> tokens;
    const PromptLayout* layout = nullptr;
    bool replying = false;
  };
  static Result<Eviction> Plan(const Candidate& candidate, int32_t need, std::vector<float> scores);
  // Whether enough can go for `tokens` to fit, and `room` of them. kExhausted "capacity"; `held` is
  // for the message.
  Status CheckFits(const Candidate& candidate, size_t held, int32_t room) const;
  // Tells the log of positions that were given up, of `before` that there were.
  void NoteRewind(Request* request, int32_t before);
  // What the last rows of the sequence attend to, block by block; NaN for blocks that are not
  // there.
  Result<std::vector<float>> Scores(const Request& request);
  // What was said, as far as the sampler looks at it.
  std::span<const TokenId> Spoken(const Request& request);

  // Whether a running request computes a prefix that this one would compute again.
  bool AwaitsPrefix(const Request& request) const;
  std::vector<PlannedRows> Next() const;
  ForwardContext Context() const;
  Status RunPlan(std::span<const PlannedRows> plan);
  void RunOrFail(std::vector<PlannedRows> plan);
  void Commit(std::span<const PlannedRows> plan);
  void TellPromptLogits(Request* request, std::span<const float> rows, int32_t first_position);
  // Samples from the session's last logits.
  void Advance(Request* request);
  // What follows when the caller knows of the last sampled token: the next row, or the end.
  void Proceed(Request* request);
  // Makes room for the request's next row: parks those that rank behind it, or itself, or has it
  // wait for the others where it is.
  Status Extend(Request* request);
  void ExtendStalled();
  // Parks a running request that ranks behind `rank`, the last one first; also one that
  // stands still, whatever its rank.
  bool PreemptBehind(const Rank& rank);
  // Back to the queue, its blocks given away. False: it cannot be parked.
  bool Preempt(Request* request);
  void Queue(Request* request);
  void TakeAnswers();
  void StopThose();  // that were cancelled or are past their deadline
  bool StopIfDue(Request* request, std::chrono::steady_clock::time_point now);
  void Retire();  // forgets what is done, and tells
  // Tells a sampled token; true when the caller has to answer.
  bool TellToken(Request* request, std::string text);
  void TellProgress() const;
  // Ends what cannot go on: a reply that fills its session, and for which nothing can be evicted,
  // with its length, the rest with `status`.
  void Refuse(Request* request, Status status);
  void Finish(Request* request, StopReason reason);
  void Fail(Request* request, Status status);

  int32_t RowsMax(const Request& request) const;
  bool shares_prefixes() const { return options_.use_cache && options_.share_prefixes; }

  std::shared_ptr<const ModelImpl> model_;
  const EngineOptions options_;
  const ClockNs clock_;
  PassSize pass_size_;
  std::unique_ptr<ThreadPool> threads_;
  BlockPool pool_;
  std::unique_ptr<KvStorage> storage_;
  std::unique_ptr<SwapFile> swap_;  // null: none
  std::unique_ptr<SpillMemory> spill_;
  std::unique_ptr<SequenceManager> sequences_;  // over all of these
  ForwardArenaPtr arena_;
  EngineStats counted_;  // the counters that the loop keeps
  uint64_t tickets_ = 0;
  std::vector<Request*> waiting_;  // by rank
  bool blocked_ = false;  // the first of waiting_ had no room, and nothing was given back since
  std::vector<Request*> running_;    // in the order of their admission
  std::set<SlotId> held_;            // by callers: for a fork, a save, a load
  std::vector<TokenId> spoken_;      // what Spoken gives, when something was evicted
  std::vector<float> logits_;        // [wanted rows of a pass, vocab]
  std::vector<SequenceRows> batch_;  // of the pass being run
};

}  // namespace gyrator

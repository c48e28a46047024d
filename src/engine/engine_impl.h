// The engine: pool, storage and the loop that serves requests.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "engine/model_impl.h"
#include "engine/request.h"
#include "engine/scheduler.h"
#include "engine/session_impl.h"
#include "gyrator/engine.h"
#include "kv/block_pool.h"
#include "kv/kv_storage.h"
#include "kv/sequence_manager.h"
#include "model/forward.h"

namespace gyrator {

class EngineImpl final : public Engine {
 public:
  static Result<std::unique_ptr<EngineImpl>> Make(std::shared_ptr<const ModelImpl> model,
                                                  const EngineOptions& options);

  Result<std::unique_ptr<Session>> NewSession(const SessionOptions& options) override;
  Result<std::unique_ptr<Session>> LoadSession(const std::string& folder,
                                               LoadReport* report) override;
  std::vector<Result<Reply>> Run(std::span<BatchRequest> requests) override;
  EngineStats stats() const override;
  const Model& model() const override { return *model_; }
  const EngineOptions& options() const override { return options_; }

  const ModelImpl& model_impl() const { return *model_; }
  // An empty sequence whose prefixes are shared within `name_space`.
  Result<OwnedSlot> NewSlot(const std::string& name_space);
  // kUnsupported when the model has no tokenizer.
  Result<const TextModelImpl*> text() const;
  const PagedKv& kv() const { return storage_->view(); }

 private:
  EngineImpl(std::shared_ptr<const ModelImpl> model, const EngineOptions& options);

  // The loop: until every request is done.
  void Serve(std::span<Request> requests);
  // One round: Admit, plan, run, commit. False: nothing waits or runs.
  bool Step();
  void Submit(Request* request);
  // Lets waiting requests run, in order, as far as the pool has room.
  void Admit();
  Status Enter(Request* request);
  // Whether a running request computes a prefix that this one would compute again.
  bool AwaitsPrefix(const Request& request) const;
  std::vector<PlannedRows> Next() const;
  Status RunPlan(std::span<const PlannedRows> plan);
  void Commit(std::span<const PlannedRows> plan);
  // Samples from the session's last logits and prepares the next row.
  void Advance(Request* request);
  // Makes room for the request's next row: parks those that were admitted after it, or itself.
  Status Extend(Request* request);
  // Back to the front of the queue, its blocks given away. False: it cannot be parked.
  bool Preempt(Request* request);
  void Retire();  // forgets what is done
  bool EmitToken(Request* request, TokenId token);
  void Finish(Request* request, StopReason reason);
  void Fail(Request* request, Status status);
  Result<Reply> Conclude(Request* request);
  void ReportProgress() const;

  int32_t RowsMax(const Request& request) const;
  bool shares_prefixes() const { return options_.use_cache && options_.share_prefixes; }

  std::shared_ptr<const ModelImpl> model_;
  EngineOptions options_;
  std::unique_ptr<ThreadPool> threads_;
  BlockPool pool_;
  std::unique_ptr<KvStorage> storage_;
  std::unique_ptr<SwapFile> swap_;              // null: none
  std::unique_ptr<SequenceManager> sequences_;  // over pool_, storage_ and swap_
  ForwardArenaPtr arena_;
  EngineStats counted_;            // the counters that the loop keeps
  std::vector<Request*> waiting_;  // in order
  bool blocked_ = false;  // the first of waiting_ had no room, and nobody has finished since
  std::vector<Request*> running_;    // in the order of their admission
  std::vector<float> logits_;        // [wanted rows of a pass, vocab]
  std::vector<SequenceRows> batch_;  // of the pass being run
};

}  // namespace gyrator

// The engine as its users see it: a loop, the thread that runs it, and calls from any thread.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine_loop.h"
#include "engine/engine_thread.h"
#include "engine/in_flight.h"
#include "engine/model_impl.h"
#include "engine/session_impl.h"
#include "gyrator/engine.h"

namespace gyrator {

class EngineImpl final : public Engine {
 public:
  // `clock`: see EngineLoop::Make.
  static Result<std::unique_ptr<EngineImpl>> Make(std::shared_ptr<const ModelImpl> model,
                                                  const EngineOptions& options,
                                                  ClockNs clock = NowNs);
  ~EngineImpl() override;

  Result<std::unique_ptr<Session>> NewSession(const SessionOptions& options) override;
  Result<std::unique_ptr<Session>> LoadSession(const std::string& folder, LoadReport* report,
                                               const LoadSessionOptions& options) override;
  std::vector<Result<Reply>> Run(std::span<BatchRequest> requests) override;
  // Run for sessions whose prompts were prepared just now: counts are those of one request
  // together.
  std::vector<Result<Reply>> Continue(std::span<BatchRequest> requests);
  EngineStats stats() const override;
  const Model& model() const override { return *model_; }
  const EngineOptions& options() const override { return options_; }

  const ModelImpl& model_impl() const { return *model_; }
  // An empty sequence whose prefixes are shared within `name_space`.
  Result<SessionSlot> OpenSlot(const std::string& name_space);
  // kUnsupported when the model has no tokenizer.
  Result<const TextModelImpl*> text() const;
  const PagedKv& kv() const { return loop_->kv(); }

  // Runs what is asked of the sessions; replies in order. REQUIRES: each session is claimed by the
  // caller, and is there once.
  std::vector<Result<Reply>> Serve(std::span<Work> works);
  // Runs something on the engine thread, which alone may touch the loop; waits for it.
  void Call(const std::function<void()>& command) const { thread_.Call(command); }
  void Post(std::function<void()> command) const { thread_.Post(std::move(command)); }
  // kUnsupported "forked": this process is a child that was forked after the engine was made, so
  // that it does not have the engine's thread.
  Status CheckProcess() const;
  EngineLoop& loop() const { return *loop_; }

 private:
  std::vector<Result<Reply>> RunAs(bool continues, std::span<BatchRequest> requests);
  EngineImpl(std::shared_ptr<const ModelImpl> model, const EngineOptions& options,
             std::unique_ptr<EngineLoop> loop);

  // kInvalidArgument "no_session", "foreign_session".
  Result<SessionImpl*> OwnSession(Session* session) const;

  std::shared_ptr<const ModelImpl> model_;
  EngineOptions options_;
  std::unique_ptr<EngineLoop> loop_;
  mutable EngineThread thread_;  // ends first
};

}  // namespace gyrator

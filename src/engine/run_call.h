// One call of Engine::Run, on the thread that made it: it hands requests to the engine thread, runs
// their callbacks and answers, until all are done.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/caller.h"
#include "engine/engine_loop.h"
#include "engine/engine_thread.h"
#include "engine/request.h"

namespace gyrator {

class RunCall {
 public:
  // All outlive the call.
  RunCall(const Progress& progress, EngineLoop* loop, EngineThread* thread)
      : progress_(progress), loop_(loop), thread_(thread), caller_(std::make_shared<Caller>()) {}
  // When a callback has thrown: ends the requests that still run, without further callbacks.
  ~RunCall();
  RunCall(const RunCall&) = delete;
  RunCall& operator=(const RunCall&) = delete;

  void Add(std::unique_ptr<Request> request);
  // Submits all at once and returns when all are done.
  void Run();
  // REQUIRES: run. In the order in which they were added.
  std::span<const std::unique_ptr<Request>> requests() const { return requests_; }

 private:
  void Listen();
  void LeaveToTheParent();  // ends the call in a forked child
  bool Hear(const CallerEvent& event);  // whether it was answered

  const Progress& progress_;
  EngineLoop* const loop_;
  EngineThread* const thread_;
  const std::shared_ptr<Caller> caller_;
  std::vector<std::unique_ptr<Request>> requests_;
  size_t open_ = 0;  // requests that are not done
  bool silent_ = false;
};

}  // namespace gyrator

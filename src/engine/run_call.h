// One call of Engine::Run, on the thread that made it: it hands requests to the engine thread, runs
// their callbacks and answers, until all are done. Does not own the requests (InFlight does).
#pragma once

#include <memory>
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
  // When a callback has thrown: ends the requests that still run, without further callbacks. All
  // requests that were submitted are done afterwards.
  ~RunCall();
  RunCall(const RunCall&) = delete;
  RunCall& operator=(const RunCall&) = delete;

  void Add(Request* request);  // which outlives the call
  // Submits all at once and returns when all are done.
  void Run();

 private:
  void Listen();
  void LeaveToTheParent();              // ends the call in a forked child
  bool Hear(const CallerEvent& event);  // whether it was answered

  const Progress& progress_;
  EngineLoop* const loop_;
  EngineThread* const thread_;
  const std::shared_ptr<Caller> caller_;
  std::vector<Request*> requests_;
  size_t open_ = 0;  // requests that were submitted and are not done
  bool silent_ = false;
};

}  // namespace gyrator

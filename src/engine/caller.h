// What the engine thread tells a thread that waits in Engine::Run, in order.
//
// Callbacks run on that thread, so that they may be slow, call the engine, or throw, and nobody
// else notices. A request whose event awaits an answer stands still until it has one; others go on.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "gyrator/types.h"

namespace gyrator {

struct Request;

struct CallerEvent {
  enum class Kind : uint8_t {
    kToken,         // text, logits; awaits an answer unless the request is done
    kPromptLogits,  // rows [count, vocab]
    kProgress,      // done of total tokens of the prompt
    kDone,          // the last event of a request
  };
  Kind kind = Kind::kDone;
  Request* request = nullptr;
  std::string text = {};
  // Of the session, valid until the answer; empty unless they were asked for.
  std::span<const float> logits = {};
  std::vector<float> rows = {};
  size_t vocab = 0;  // of a row
  uint64_t done = 0, total = 0;
};

class Caller {
 public:
  void Tell(CallerEvent event);  // engine thread
  // Replaces *events by those that came since; waits until there is one.
  void Take(std::vector<CallerEvent>* events);

 private:
  std::mutex mutex_;
  std::condition_variable news_;
  std::vector<CallerEvent> events_;  // guarded by mutex_
};

}  // namespace gyrator

// Ctrl-C (SIGINT), and SIGTERM and SIGHUP alike. Nothing is lost however the process ends: a save
// is whole or not there, and a turn is durable before its first token.
//
// A signal ends the process at once with a message and code 130; while an InterruptScope lives, the
// first one asks to stop and the second one does that.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

namespace gyrator::cli {

// Installs the handlers; `json`: the form of the message. System calls that wait (read) return with
// EINTR.
void CatchInterrupts(bool json);

// One at a time.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

// True once the process was asked to end, by another signal than the user's Ctrl-C.
bool Terminated();
// True once a signal has come within an InterruptScope since the last ClearInterrupt.
bool Interrupted();
void ClearInterrupt();  // forgets Ctrl-C; what asked the process to end stays

// A token for work that a signal stops, within some 20 ms. A handler may not request a stop itself:
// a thread looks for it while this lives.
class StopOnInterrupt {
 public:
  StopOnInterrupt();
  StopOnInterrupt(const StopOnInterrupt&) = delete;
  StopOnInterrupt& operator=(const StopOnInterrupt&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  void Watch(const std::stop_token& done);

  std::stop_source stop_;
  std::mutex mutex_;
  std::condition_variable_any woken_;
  std::jthread watcher_;  // ends first
};

}  // namespace gyrator::cli

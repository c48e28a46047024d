// The one thread that owns pool, sequences and the loop. Everyone else posts to it.
//
// Signals of the process never arrive on it. The child of a fork() does not have it: there Post,
// Call and Wake do nothing, and the object can be destroyed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace gyrator {

// What a round of work left behind.
enum class Pace : uint8_t {
  kNow,   // more can be done at once
  kSoon,  // something is awaited; look again when woken, in a moment at the latest
  kIdle,  // nothing to do until somebody posts
};

class EngineThread {
 public:
  // Calls round(overdue) on the thread, between the posted commands. `overdue`: rounds have said
  // kSoon for longer than a moment. Throws std::system_error when the system refuses a thread.
  explicit EngineThread(std::function<Pace(bool overdue)> round);
  // Runs what was posted and goes on until a round is idle.
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // Runs `command` on the thread, in order. Any thread.
  void Post(std::function<void()> command);
  // The same, and waits for its end. Not from the thread itself.
  void Call(const std::function<void()>& command);
  // Ends a kSoon before its time. Any thread.
  void Wake();
  // Whether this process is a child that was forked after the thread was made.
  bool InForkedChild() const;

 private:
  using Clock = std::chrono::steady_clock;

  // What the thread shares with everyone else.
  struct Shared {
    std::mutex mutex;
    std::condition_variable news;
    std::vector<std::function<void()>> commands;  // guarded by mutex, and so are the next two
    bool woken = false;
    bool stop = false;
    std::thread thread;
  };

  void Run();
  void Await(std::unique_lock<std::mutex>& lock, Pace pace, Clock::time_point moment);

  const std::function<Pace(bool)> round_;
  const pid_t owner_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace gyrator

#include "engine/engine_thread.h"

#include <signal.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

// Longer than a caller that is awake takes to answer, shorter than a pass of a real model.
constexpr std::chrono::milliseconds kMoment(1);
// As many commands can wait without an allocation: destructors post, also while an exception passes
// that says there is no memory.
constexpr size_t kCommands = 64;

// Blocks all signals of the calling thread for as long as it lives: a thread starts with the mask
// of the one that makes it. Faults stay: the kernel ends a process whose thread blocks the fault that
// it makes, although the program has a handler for it.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    for (const int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL}) ::sigdelset(&all, fault);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

EngineThread::EngineThread(std::function<Pace(bool)> round)
    : round_(std::move(round)), owner_(::getpid()), shared_(std::make_unique<Shared>()) {
  shared_->commands.reserve(kCommands);
  const SignalsBlocked blocked;
  shared_->thread = std::thread([this] { Run(); });
}

EngineThread::~EngineThread() {
  if (InForkedChild()) {
    // The thread is the parent's, which may hold the mutex or wait for news: nothing here can be
    // locked, joined or destroyed.
    (void)shared_.release();
    return;
  }
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stop = true;
    shared_->news.notify_one();
  }
  shared_->thread.join();
}

bool EngineThread::InForkedChild() const { return ::getpid() != owner_; }

void EngineThread::Post(std::function<void()> command) {
  if (InForkedChild()) return;
  const std::lock_guard lock(shared_->mutex);
  shared_->commands.push_back(std::move(command));
  shared_->news.notify_one();
}

void EngineThread::Call(const std::function<void()>& command) {
  if (InForkedChild()) return;
  GYRATOR_CHECK(std::this_thread::get_id() != shared_->thread.get_id());
  struct {
    const std::function<void()>* command;
    std::mutex mutex;
    std::condition_variable ended;
    bool done = false;
  } call{.command = &command, .mutex = {}, .ended = {}};
  Post([&call] {  // one pointer: nothing is allocated for it
    (*call.command)();
    const std::lock_guard lock(call.mutex);
    call.done = true;
    call.ended.notify_one();
  });
  std::unique_lock lock(call.mutex);
  call.ended.wait(lock, [&call] { return call.done; });
}

void EngineThread::Wake() {
  if (InForkedChild()) return;
  const std::lock_guard lock(shared_->mutex);
  shared_->woken = true;
  shared_->news.notify_one();
}

void EngineThread::Await(std::unique_lock<std::mutex>& lock, Pace pace, Clock::time_point moment) {
  const auto news = [this] {
    return shared_->stop || shared_->woken || !shared_->commands.empty();
  };
  if (pace == Pace::kIdle) shared_->news.wait(lock, news);
  if (pace == Pace::kSoon) shared_->news.wait_until(lock, moment, news);
}

void EngineThread::Run() {
  std::vector<std::function<void()>> taken;  // changes places with the commands
  taken.reserve(kCommands);
  Pace pace = Pace::kIdle;
  Clock::time_point moment;  // ends the present row of kSoon
  while (true) {
    {
      std::unique_lock lock(shared_->mutex);
      Await(lock, pace, moment);
      shared_->woken = false;
      taken.swap(shared_->commands);
      if (taken.empty() && shared_->stop && pace == Pace::kIdle) return;
    }
    for (const auto& command : taken) command();
    taken.clear();
    const bool overdue = pace == Pace::kSoon && Clock::now() >= moment;
    const Pace before = std::exchange(pace, round_(overdue));
    if (before != Pace::kSoon || overdue) moment = Clock::now() + kMoment;
  }
}

}  // namespace gyrator

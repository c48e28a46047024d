#include "engine/engine_thread.h"

#include <signal.h>

#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

// Longer than a caller that is awake takes to answer, shorter than a pass of a real model.
constexpr std::chrono::milliseconds kMoment(1);

}  // namespace

EngineThread::EngineThread(std::function<Pace(bool)> round) : round_(std::move(round)) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // a thread starts with its maker's mask
  thread_ = std::thread([this] { Run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    news_.notify_one();
  }
  thread_.join();
}

void EngineThread::Post(std::function<void()> command) {
  const std::lock_guard lock(mutex_);
  commands_.push_back(std::move(command));
  news_.notify_one();
}

void EngineThread::Call(const std::function<void()>& command) {
  GYRATOR_CHECK(std::this_thread::get_id() != thread_.get_id());
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
  const std::lock_guard lock(mutex_);
  woken_ = true;
  news_.notify_one();
}

void EngineThread::Await(std::unique_lock<std::mutex>& lock, Pace pace, Clock::time_point moment) {
  const auto news = [this] { return stop_ || woken_ || !commands_.empty(); };
  if (pace == Pace::kIdle) news_.wait(lock, news);
  if (pace == Pace::kSoon) news_.wait_until(lock, moment, news);
}

void EngineThread::Run() {
  std::vector<std::function<void()>> taken;
  Pace pace = Pace::kIdle;
  Clock::time_point moment;  // ends the present row of kSoon
  while (true) {
    {
      std::unique_lock lock(mutex_);
      Await(lock, pace, moment);
      woken_ = false;
      taken.swap(commands_);
      if (taken.empty() && stop_ && pace == Pace::kIdle) return;
    }
    for (const auto& command : taken) command();
    taken.clear();
    const bool overdue = pace == Pace::kSoon && Clock::now() >= moment;
    const Pace before = std::exchange(pace, round_(overdue));
    if (before != Pace::kSoon || overdue) moment = Clock::now() + kMoment;
  }
}

}  // namespace gyrator

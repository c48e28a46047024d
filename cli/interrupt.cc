#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator::cli {

namespace {

constexpr std::chrono::milliseconds kTick(20);

constexpr std::string_view kOnce = "\ngyrator: interrupted\n";
constexpr std::string_view kTwice =
    "\ngyrator: interrupted twice: ended at once; what was saved last is whole\n";
constexpr std::string_view kJson =
    R"({"error":{"code":"cancelled","name":"","message":"interrupted","exit":130}})"
    "\n";

// Lock-free: may be used by a handler.
std::atomic<int> interrupts = 0;
std::atomic<bool> scoped = false;
std::atomic<bool> terminated = false;
std::atomic<bool> tells_json = false;

void OnSignal(int signal_number) {
  if (signal_number != SIGINT) terminated = true;
  const int count = ++interrupts;
  if (scoped && count < 2) return;
  const std::string_view text = tells_json ? kJson : scoped ? kTwice : kOnce;
  // The process ends here: whether the words arrived changes nothing.
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) interrupts = count;
  ::_exit(static_cast<int>(Code::kCancelled));
}

}  // namespace

void CatchInterrupts(bool json) {
  tells_json = json;
  struct sigaction action = {};
  action.sa_handler = OnSignal;  // without SA_RESTART: a read that waits is to return
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaction(signal_number, &action, nullptr);
  }
  ::signal(SIGPIPE, SIG_IGN);  // a reader that is gone is an error of the write,
  ::signal(SIGXFSZ, SIG_IGN);  // as a file that grows past the process's limit is
}

InterruptScope::InterruptScope() {
  interrupts = 0;
  scoped = true;
}

InterruptScope::~InterruptScope() { scoped = false; }

bool Terminated() { return terminated; }

bool Interrupted() { return interrupts > 0; }

void ClearInterrupt() {
  if (!terminated) interrupts = 0;
}

StopOnInterrupt::StopOnInterrupt()
    : watcher_([this](const std::stop_token& done) { Watch(done); }) {}

void StopOnInterrupt::Watch(const std::stop_token& done) {
  std::unique_lock lock(mutex_);
  while (!done.stop_requested()) {
    if (Interrupted()) {
      stop_.request_stop();
      return;
    }
    woken_.wait_for(lock, done, kTick, [] { return false; });
  }
}

}  // namespace gyrator::cli

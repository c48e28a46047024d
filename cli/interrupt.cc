#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "gyrator/status.h"

namespace gyrator::cli {

namespace {

std::atomic<int> interrupts = 0;  // lock-free: may be used by a handler

void OnSignal(int) {
  if (++interrupts >= 2) ::_exit(static_cast<int>(Code::kCancelled));
}

}  // namespace

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;  // without SA_RESTART: a read that waits is to return
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaction(signal_number, &action, nullptr);
  }
  ::signal(SIGPIPE, SIG_IGN);  // a reader that is gone is an error of the write
  ::signal(SIGXFSZ, SIG_IGN);  // and so is the limit of file size
}

bool Interrupted() { return interrupts > 0; }

void ClearInterrupt() { interrupts = 0; }

}  // namespace gyrator::cli

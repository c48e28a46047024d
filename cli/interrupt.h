// Ctrl-C (SIGINT), and SIGTERM and SIGHUP alike: the first asks to stop, a second one ends the
// process with code 130. Nothing is lost then: a turn is durable before its first token.
#pragma once

namespace gyrator::cli {

// Installs the handlers. System calls that wait (read) return with EINTR.
void CatchInterrupts();
// True once a signal has come since the last ClearInterrupt.
bool Interrupted();
void ClearInterrupt();

}  // namespace gyrator::cli

// SIGBUS: a page of a mapped file that is not there any more, because the file was truncated under
// the process or its disk failed. The library maps model files and never catches the signal; the
// command turns it into a message and exit code 8.
#pragma once

namespace gyrator::cli {

// Installs the handler. It names the mapped file on standard error ("json": as an error object),
// and ends the process at once: what was saved before is whole, as after a kill.
void CatchBusErrors(bool json);

}  // namespace gyrator::cli

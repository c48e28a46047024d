// Whole text files, as the text subcommands read them.
#pragma once

#include <string>

#include "gyrator/status.h"

namespace gyrator::cli {

// The bytes of `path`, which may be a pipe or a device; "-" is standard input. kNotFound, kIo, kExhausted above
// 1 GiB; kCancelled when a signal came while a pipe was waited for.
Result<std::string> ReadInput(const std::string& path);

}  // namespace gyrator::cli

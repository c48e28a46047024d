// Whole text files, as the text subcommands read them.
#pragma once

#include <string>

#include "gyrator/status.h"

namespace gyrator::cli {

// The bytes of `path`; "-" is standard input. kNotFound, kIo, kExhausted above 1 GiB.
Result<std::string> ReadInput(const std::string& path);

}  // namespace gyrator::cli

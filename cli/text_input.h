// Whole text files, as the text subcommands read them, and what an output must not be.
#pragma once

#include <initializer_list>
#include <string>

#include "gyrator/status.h"

namespace gyrator::cli {

// The bytes of `path`, a file, pipe or device; "-" is standard input. kNotFound, kIo, kExhausted
// above 1 GiB; kInvalidArgument: a folder; kCancelled: a signal came while a pipe was waited for.
Result<std::string> ReadInput(const std::string& path);

// kInvalidArgument when the file that `flag` names for an output is one of the inputs, under
// whatever name: to open it would empty it. An input may be "-", standard input, or a folder, which
// stands for its files; an empty output is standard output.
Status CheckOutput(const std::string& flag, const std::string& output,
                   std::initializer_list<std::string> inputs);

}  // namespace gyrator::cli

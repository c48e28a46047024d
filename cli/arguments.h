// The words of a command line, before the parser library has them.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "gyrator/status.h"

namespace gyrator::cli {

// The words after the program's name, with llama.cpp's -sys and -np written out. kInvalidArgument
// names a subcommand or flag that is unknown, and a flag of one dash that has more than a letter:
// the parser would take -ngl for -n with the value "gl", and -hf for a wish for help.
Result<std::vector<std::string>> CheckArguments(const CLI::App& app, int argc,
                                                const char* const* argv);

// What was left over when all flags had their values; kInvalidArgument.
Status Unexpected(const CLI::App& app);

}  // namespace gyrator::cli

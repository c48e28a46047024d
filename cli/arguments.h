// The words of a command line, before the parser library has them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gyrator/status.h"

namespace gyrator::cli {

// What may stand behind a command.
struct CommandWords {
  std::string path;                          // "gyrator model info"
  std::map<std::string, bool> flags;         // "--seed", "-s": whether a value follows
  std::map<std::string, CommandWords> then;  // subcommands
};

// The words after the program's name, with llama.cpp's -sys and -np written out. kInvalidArgument
// names a subcommand or flag that is unknown, and a flag of one dash that has more than a letter:
// the parser would take -ngl for -n with the value "gl", and -hf for a wish for help.
Result<std::vector<std::string>> CheckArguments(const CommandWords& command, int argc,
                                                const char* const* argv);

}  // namespace gyrator::cli

// Lines from the user: with editing and history on a terminal, plainly from a pipe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gyrator/status.h"

namespace gyrator::cli {

class LineSource {
 public:
  virtual ~LineSource() = default;
  // The next line without its end ("\n" or "\r\n"). nullopt at the end of input, or when a signal
  // came while waiting (Interrupted() tells). kIo: the input cannot be read; a line that it had
  // begun is no line.
  virtual Result<std::optional<std::string>> Next() = 0;
};

// Standard input, read as it comes.
std::unique_ptr<LineSource> MakePlainLines();

// libedit on the terminal: emacs keys, history kept in the file `history`. `prompt` is printed
// before each line; in colour when `color`.
std::unique_ptr<LineSource> MakeLineEditor(const std::string& prompt, const std::string& history,
                                           bool color);

}  // namespace gyrator::cli

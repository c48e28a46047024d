#include "cli/arguments.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

namespace gyrator::cli {

namespace {

// llama.cpp's flags of one dash and more letters that mean the same here.
constexpr std::pair<std::string_view, const char*> kLong[] = {{"-sys", "--system-prompt"},
                                                              {"-np", "--parallel"}};

bool IsLetter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

Status Unknown(const CommandWords& command, const std::string& flag) {
  const bool top = !command.then.empty();
  return Status::InvalidArgument(command.path + ": unknown flag '" + flag + "'; " + command.path +
                                 " --help lists them" +
                                 (top ? ", and those of a subcommand stand behind it" : ""));
}

// One word after the other, with the command that they belong to.
class Words {
 public:
  explicit Words(const CommandWords& command) : command_(&command) {}

  Result<std::string> Next(std::string word) {
    if (std::exchange(value_, false) || rest_) return word;
    if (word == "--") {
      rest_ = true;
      return word;
    }
    if (word.starts_with("--")) return Long(std::move(word));
    if (word.size() > 1 && word[0] == '-' && IsLetter(word[1])) return Short(std::move(word));
    return Plain(std::move(word));
  }

 private:
  Result<std::string> Long(std::string word) {
    const size_t end = std::min(word.find('='), word.size());
    const auto flag = command_->flags.find(word.substr(0, end));
    if (flag == command_->flags.end()) return Unknown(*command_, word.substr(0, end));
    value_ = end == word.size() && flag->second;
    return word;
  }

  Result<std::string> Short(std::string word) {
    for (const auto& [name, meant] : kLong) {
      if (word != name || !command_->flags.contains(meant)) continue;
      value_ = true;
      return std::string(meant);
    }
    const auto flag = command_->flags.find(word.substr(0, 2));
    if (flag == command_->flags.end()) return Unknown(*command_, word);
    if (word.size() > 2 && IsLetter(word[2])) {
      return Status::InvalidArgument(command_->path + ": unknown flag '" + word +
                                     "'; a flag of one dash has one letter, and its value stands "
                                     "apart: '" +
                                     word.substr(0, 2) + " " + word.substr(2) + "'");
    }
    value_ = word.size() == 2 && flag->second;
    return word;
  }

  Result<std::string> Plain(std::string word) {
    if (command_->then.empty()) return word;
    const auto next = command_->then.find(word);
    if (next == command_->then.end()) {
      return Status::InvalidArgument("unknown subcommand '" + word + "'; " + command_->path +
                                     " --help lists them");
    }
    command_ = &next->second;
    return word;
  }

  const CommandWords* command_;
  bool value_ = false;  // the next word is one
  bool rest_ = false;   // behind "--" there are no flags
};

}  // namespace

Result<std::vector<std::string>> CheckArguments(const CommandWords& command, int argc,
                                                const char* const* argv) {
  Words words(command);
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    GYRATOR_ASSIGN_OR_RETURN(std::string word, words.Next(argv[i]));
    arguments.push_back(std::move(word));
  }
  return arguments;
}

}  // namespace gyrator::cli

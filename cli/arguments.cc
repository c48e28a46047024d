#include "cli/arguments.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <utility>

namespace gyrator::cli {

namespace {

// llama.cpp's flags of one dash and more letters that mean the same here.
constexpr std::pair<std::string_view, std::string_view> kLong[] = {{"-sys", "--system-prompt"},
                                                                   {"-np", "--parallel"}};

bool IsLetter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }

// "gyrator chat", "gyrator model info"
std::string Path(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : Path(*parent) + " " + command.get_name();
}

Status Unknown(const CLI::App& command, std::string_view flag) {
  const bool top = command.get_parent() == nullptr;
  return Status::InvalidArgument(Path(command) + ": unknown flag '" + std::string(flag) + "'; " +
                                 Path(command) + " --help lists them" +
                                 (top ? ", and those of a subcommand stand behind it" : ""));
}

// One word after the other, with the subcommand that they belong to.
class Words {
 public:
  explicit Words(const CLI::App& app) : command_(&app) {}

  Result<std::string> Next(std::string word) {
    if (std::exchange(value_, false) || rest_) return word;
    if (word == "--") rest_ = true;
    if (word.starts_with("--")) return Long(std::move(word));
    if (word.size() > 1 && word[0] == '-' && IsLetter(word[1])) return Short(std::move(word));
    return Plain(std::move(word));
  }

 private:
  Result<std::string> Long(std::string word) {
    if (word == "--") return word;
    const size_t end = std::min(word.find('='), word.size());
    const CLI::Option* option = command_->get_option_no_throw(word.substr(0, end));
    if (option == nullptr) return Unknown(*command_, word.substr(0, end));
    value_ = end == word.size() && option->get_items_expected_max() > 0;
    return word;
  }

  Result<std::string> Short(std::string word) {
    for (const auto& [name, meant] : kLong) {
      if (word == name && command_->get_option_no_throw(std::string(meant)) != nullptr) {
        value_ = true;
        return std::string(meant);
      }
    }
    const CLI::Option* option = command_->get_option_no_throw(word.substr(0, 2));
    if (option == nullptr) return Unknown(*command_, word);
    if (word.size() > 2 && IsLetter(word[2])) {
      return Status::InvalidArgument(Path(*command_) + ": unknown flag '" + word +
                                     "'; a flag of one " +
                                     "dash has one letter, and its value stands apart: '" +
                                     word.substr(0, 2) + " " + word.substr(2) + "'");
    }
    value_ = word.size() == 2 && option->get_items_expected_max() > 0;
    return word;
  }

  Result<std::string> Plain(std::string word) {
    const auto named = [&](const CLI::App* command) { return command->get_name() == word; };
    const auto commands = command_->get_subcommands([](const CLI::App*) { return true; });
    const auto found = std::find_if(commands.begin(), commands.end(), named);
    if (found != commands.end()) {
      command_ = *found;
    } else if (command_->get_parent() == nullptr) {
      return Status::InvalidArgument("unknown subcommand '" + word +
                                     "'; gyrator --help lists them");
    }
    return word;
  }

  const CLI::App* command_;
  bool value_ = false;  // the next word is one
  bool rest_ = false;   // behind "--" there are no flags
};

}  // namespace

Result<std::vector<std::string>> CheckArguments(const CLI::App& app, int argc,
                                                const char* const* argv) {
  Words words(app);
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    GYRATOR_ASSIGN_OR_RETURN(std::string word, words.Next(argv[i]));
    arguments.push_back(std::move(word));
  }
  return arguments;
}

Status Unexpected(const CLI::App& app) {
  std::string words;
  for (const std::string& word : app.remaining(true)) {
    words += (words.empty() ? "'" : ", '") + word + "'";
  }
  return Status::InvalidArgument("not expected: " + words + "; gyrator --help tells more");
}

}  // namespace gyrator::cli

// Answers questions of tools/parity/*.py, one JSON object a line, so that tens of thousands of them
// need one process.
//
//   text_server
//
// Standard input and output are lines:
//   {"template": source, "messages", "tools", "variables", "add_generation_prompt"}
//     -> {"text"} or {"error", "name", "code"}; the clock is 2026-11-03T14:05:09
//   {"open": folder or .gguf file, "pre"}       -> {"vocab_size"} or {"error", ...}
//   {"encode": text, "special": bool}           -> {"ids"}
//   {"decode": ids, "skip": bool}               -> {"text"}
#include <ctime>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

#include "base/json.h"
#include "formats/gguf.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace gyrator {
namespace {

std::tm FixedClock() {
  std::tm now{};
  now.tm_year = 126;
  now.tm_mon = 10;
  now.tm_mday = 3;
  now.tm_hour = 14;
  now.tm_min = 5;
  now.tm_sec = 9;
  now.tm_wday = 2;
  now.tm_yday = 306;
  return now;
}

Json Failure(const Status& status) {
  return {{"error", status.message()},
          {"name", status.name()},
          {"code", static_cast<int>(status.code())}};
}

class Server {
 public:
  Json Answer(const Json& question) {
    if (question.contains("template")) return Render(question);
    if (question.contains("open")) return Open(question);
    if (tokenizer_ == nullptr) return Failure(Status::InvalidArgument("nothing is open"));
    if (question.contains("encode")) {
      const bool special = question.value("special", false);
      return {{"ids", tokenizer_->Encode(question["encode"].get_ref<const std::string&>(),
                                         {.add_special = special})}};
    }
    const auto ids = question["decode"].get<std::vector<TokenId>>();
    return {{"text", tokenizer_->Decode(ids, question.value("skip", false))}};
  }

 private:
  Json Render(const Json& question) {
    const auto& source = question["template"].get_ref<const std::string&>();
    auto& parsed = templates_[source];
    if (parsed == nullptr) {
      parsed = std::make_unique<Result<std::unique_ptr<ChatTemplate>>>(ChatTemplate::Parse(source));
    }
    if (!parsed->ok()) return Failure(parsed->status());
    const std::tm now = FixedClock();
    const Json* tools = question["tools"].is_null() ? nullptr : &question["tools"];
    const Result<std::string> text =
        (**parsed)->Render({.messages = &question["messages"],
                            .tools = tools,
                            .variables = &question["variables"],
                            .add_generation_prompt = question["add_generation_prompt"].get<bool>(),
                            .now = &now});
    if (!text.ok()) return Failure(text.status());
    return {{"text", *text}};
  }

  Json Open(const Json& question) {
    const std::string path = question["open"], pre = question.value("pre", "");
    const auto opened = [&]() -> Result<std::unique_ptr<Tokenizer>> {
      if (!path.ends_with(".gguf")) return Tokenizer::FromHuggingFace(path);
      GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
      return Tokenizer::FromGguf(file, pre);
    };
    Result<std::unique_ptr<Tokenizer>> result = opened();
    if (!result.ok()) return Failure(result.status());
    tokenizer_ = *std::move(result);
    return {{"vocab_size", tokenizer_->vocab_size()}};
  }

  std::unordered_map<std::string, std::unique_ptr<Result<std::unique_ptr<ChatTemplate>>>>
      templates_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

int Serve() {
  Server server;
  for (std::string line; std::getline(std::cin, line);) {
    const Result<Json> question = ParseJson(line);
    const Json answer = question.ok() && question->is_object() ? server.Answer(*question)
                                                               : Failure(question.status());
    std::cout << DumpJson(answer) << '\n' << std::flush;
  }
  return 0;
}

}  // namespace
}  // namespace gyrator

int main() { return gyrator::Serve(); }

// Renders chat messages to text with the model's own template, as Hugging Face transformers does.
//
// A Jinja engine of our own (jinja_lexer, jinja_parser, jinja_eval) under the settings of
// transformers' apply_chat_template: trim_blocks, lstrip_blocks, loop controls, `raise_exception`,
// `strftime_now`, tojson without HTML escapes, immutable sandbox. Immutable after Parse.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "gyrator/status.h"

namespace gyrator {

class ChatTemplate {
 public:
  // kCorruption with line number on a syntax error, kUnsupported names an unknown filter or tag.
  static Result<std::unique_ptr<ChatTemplate>> Parse(std::string_view source);
  ~ChatTemplate();

  struct Inputs {
    // Array of {role, content, ...}; null fields are dropped. Null: a template without a
    // conversation.
    const Json* messages = nullptr;
    const Json* tools = nullptr;      // array or null
    const Json* variables = nullptr;  // object: bos_token, eos_token and more; or null
    bool add_generation_prompt = true;
    const std::tm* now = nullptr;  // local time for strftime_now; null: the machine's clock
  };
  // kInvalidArgument: an array without a message, inputs of another type; or it carries the
  // template's own raise_exception text or the evaluation error with its line. Bounded: steps,
  // output size and recursion have limits (kExhausted).
  Result<std::string> Render(const Inputs& inputs) const;

  const std::string& source() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gyrator

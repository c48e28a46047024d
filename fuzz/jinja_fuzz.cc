// Chat templates from anywhere: parse, and render a fixed conversation under tight limits.
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string_view>

#include "tokenizer/jinja_eval.h"
#include "tokenizer/jinja_parser.h"

namespace {

using gyrator::jinja::DictObject;
using gyrator::jinja::Kind;
using gyrator::jinja::SequenceObject;
using gyrator::jinja::Value;

Value Message(const char* role, Value content) {
  auto message = std::make_shared<DictObject>();
  message->Set(Value::String("role"), Value::String(role));
  message->Set(Value::String("content"), std::move(content));
  return Value::Of(Kind::kDict, std::move(message));
}

DictObject Variables() {
  auto messages = std::make_shared<SequenceObject>();
  messages->depth = 2;
  messages->items = {Message("system", Value::String(" Be brief. ")),
                     Message("user", Value::String("Grüße 🌍\n<b>")),
                     Message("assistant", Value::None()), Message("tool", Value::Float(-2.5)),
                     Message("user", Value::Int(INT64_MIN))};
  DictObject variables;
  variables.Set(Value::String("messages"), Value::Of(Kind::kList, std::move(messages)));
  variables.Set(Value::String("tools"), Value::None());
  variables.Set(Value::String("bos_token"), Value::String("<s>"));
  variables.Set(Value::String("add_generation_prompt"), Value::Bool(true));
  return variables;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kLongest = 1 << 14;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  if (size > kLongest) return 0;
  const auto tree = gyrator::jinja::ParseTemplate(source);
  if (!tree.ok()) return 0;
  const DictObject variables = Variables();
  const std::tm now{};
  constexpr gyrator::jinja::Limits kLimits{.steps_max = 50'000, .bytes_max = 1 << 22};
  gyrator::jinja::Evaluator evaluator(&variables, &now, kLimits);
  const auto text = evaluator.Render(**tree);
  return text.ok() && text->size() > kLimits.bytes_max ? __builtin_trap(), 0 : 0;
}

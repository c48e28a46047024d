#include "tokenizer/chat_template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "tokenizer/jinja_eval.h"
#include "tokenizer/jinja_parser.h"
#include "tokenizer/jinja_print.h"

namespace gyrator {

namespace {

using jinja::DictObject;
using jinja::Kind;
using jinja::SequenceObject;
using jinja::Value;

// JSON from the caller as template values.
class Importer {
 public:
  Result<Value> Import(const Json& json, int depth = 0) {
    if (depth >= jinja::kValueDepthMax) {
      return Status::Exhausted(
          fmt::format("chat template: input nested deeper than {}", jinja::kValueDepthMax));
    }
    switch (json.type()) {
      case Json::value_t::boolean:
        return Value::Bool(json.get<bool>());
      case Json::value_t::number_integer:
        return Value::Int(json.get<int64_t>());
      case Json::value_t::number_unsigned:
        if (json.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
          return Status::InvalidArgument(
              fmt::format("chat template: the integer {} does not fit in 64 bits with a sign",
                          json.get<uint64_t>()));
        }
        return Value::Int(json.get<int64_t>());
      case Json::value_t::number_float:
        return Value::Float(json.get<double>());
      case Json::value_t::string:
        return ImportText(json.get_ref<const std::string&>());
      case Json::value_t::array:
        return ImportArray(json, depth);
      case Json::value_t::object:
        return ImportObject(json, depth);
      default:
        return Value::None();
    }
  }

 private:
  static Result<Value> ImportText(const std::string& text) {
    if (IsValidUtf8(text)) return Value::String(text);
    return Status::InvalidArgument("chat template: an input text is not UTF-8");
  }

  Result<Value> ImportArray(const Json& json, int depth) {
    auto list = std::make_shared<SequenceObject>();
    for (const Json& item : json) {
      GYRATOR_ASSIGN_OR_RETURN(Value value, Import(item, depth + 1));
      list->depth = std::max(list->depth, 1 + value.depth());
      list->items.push_back(std::move(value));
    }
    return Value::Of(Kind::kList, std::move(list));
  }

  Result<Value> ImportObject(const Json& json, int depth) {
    auto dict = std::make_shared<DictObject>();
    for (const auto& item : json.items()) {
      GYRATOR_ASSIGN_OR_RETURN(Value key, ImportText(item.key()));
      GYRATOR_ASSIGN_OR_RETURN(Value value, Import(item.value(), depth + 1));
      dict->Set(std::move(key), std::move(value));
    }
    return Value::Of(Kind::kDict, std::move(dict));
  }
};

// As transformers: fields that are null are dropped, for many templates print "None" or fail where
// a field that is missing does no harm.
Json WithoutNulls(const Json& message) {
  Json kept = Json::object();
  auto& fields = kept.get_ref<Json::object_t&>();  // its names are all different: no search
  for (const auto& item : message.get_ref<const Json::object_t&>()) {
    if (!item.second.is_null()) fields.emplace_back(item.first, item.second);
  }
  return kept;
}

// As transformers: what a model thought is passed under one of three names, and templates find it
// under two, `thinking` and `reasoning_content`.
Json WithReasoning(Json message) {
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto found = message.find(name);
    if (found == message.end()) continue;
    Json aliased = Json::object();
    aliased["thinking"] = *found;
    for (const auto& item : message.items()) aliased[item.key()] = item.value();
    aliased["reasoning_content"] = *found;
    return aliased;
  }
  return message;
}

// The conversation as a template sees it.
Result<Json> SeenMessages(const Json* messages) {
  Json seen = Json::array();
  if (messages == nullptr) return seen;
  if (!messages->is_array()) {
    return Status::InvalidArgument("chat template: messages must be an array");
  }
  if (messages->empty()) {
    return Status::InvalidArgument("chat template: at least one message expected, found none");
  }
  for (const Json& message : *messages) {
    if (!message.is_object()) {
      return Status::InvalidArgument("chat template: a message must be an object");
    }
    seen.push_back(WithReasoning(WithoutNulls(message)));
  }
  return seen;
}

}  // namespace

struct ChatTemplate::Impl {
  std::string source;
  std::unique_ptr<const jinja::TemplateTree> tree;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

const std::string& ChatTemplate::source() const { return impl_->source; }

Result<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string_view source) {
  auto impl = std::make_unique<Impl>();
  auto tree = jinja::ParseTemplate(source);
  if (!tree.ok()) return Status(tree.status()).Annotate("chat template");
  impl->source = source;
  impl->tree = *std::move(tree);
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

Result<std::string> ChatTemplate::Render(const Inputs& inputs) const {
  DictObject variables;
  Importer importer;
  const auto set = [&](std::string_view name, const Json& json) -> Status {
    GYRATOR_ASSIGN_OR_RETURN(Value value, importer.Import(json));
    variables.Set(Value::String(std::string(name)), std::move(value));
    return {};
  };
  if (inputs.variables != nullptr) {
    if (!inputs.variables->is_object()) {
      return Status::InvalidArgument("chat template: variables must be an object");
    }
    for (const auto& item : inputs.variables->items()) {
      if (!IsValidUtf8(item.key())) {
        return Status::InvalidArgument("chat template: a variable's name is not UTF-8");
      }
      GYRATOR_RETURN_IF_ERROR(set(item.key(), item.value()));
    }
  }
  GYRATOR_ASSIGN_OR_RETURN(const Json messages, SeenMessages(inputs.messages));
  GYRATOR_RETURN_IF_ERROR(set("messages", messages));
  GYRATOR_RETURN_IF_ERROR(set("tools", inputs.tools != nullptr ? *inputs.tools : Json()));
  if (variables.Find("documents") == nullptr) GYRATOR_RETURN_IF_ERROR(set("documents", Json()));
  GYRATOR_RETURN_IF_ERROR(set("add_generation_prompt", Json(inputs.add_generation_prompt)));
  jinja::Evaluator evaluator(&variables, inputs.now, jinja::Limits{});
  Result<std::string> text = evaluator.Render(*impl_->tree);
  if (text.ok() || text.status().name() == "template_exception") return text;
  return Status(text.status()).Annotate("chat template");
}

}  // namespace gyrator

#include "engine/messages.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/utf8.h"

namespace gyrator {

namespace {

constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};

std::string Quoted(std::string_view text) {
  constexpr size_t kLongest = 40;
  if (text.size() <= kLongest) return "'" + std::string(text) + "'";
  const std::string_view head = text.substr(0, kLongest);
  return "'" + std::string(head.substr(0, CompletePrefix(head))) + "...'";
}

// Whether empty content is null: the message is a call of tools and nothing else.
bool IsOnlyToolCalls(std::string_view role, const Json& fields) {
  const Json* calls = FindField(fields, "tool_calls");
  return role == "assistant" && calls != nullptr && calls->is_array() && !calls->empty();
}

// Whether a message without content says something all the same: a call, or why there is none.
bool SaysOtherwise(std::string_view role, const Json& item) {
  const auto has = [&](const char* name) {
    const Json* field = FindField(item, name);
    return field != nullptr && !field->is_null();
  };
  return IsOnlyToolCalls(role, item) ||
         (role == "assistant" && (has("function_call") || has("refusal")));
}

Result<std::string> JoinParts(const Json& parts, const std::string& where) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string place = where + "[" + std::to_string(i) + "]";
    if (!parts[i].is_object()) return ExpectedJson(place, "an object", &parts[i]);
    const Json* type = FindField(parts[i], "type");
    if (type == nullptr || !type->is_string())
      return ExpectedJson(place + ".type", "a string", type);
    if (*type != "text") {
      return Status::Unsupported(place + ": type " + Quoted(type->get_ref<const std::string&>()) +
                                 ": text only");
    }
    const Json* piece = FindField(parts[i], "text");
    if (piece == nullptr || !piece->is_string()) {
      return ExpectedJson(place + ".text", "a string", piece);
    }
    text += piece->get_ref<const std::string&>();
  }
  return text;
}

Result<std::string> ReadRole(const Json& item, const std::string& where) {
  const Json* role = FindField(item, "role");
  const std::string text = role != nullptr && role->is_string() ? role->get<std::string>() : "";
  if (text == "developer") return std::string("system");
  if (std::ranges::find(kRoles, text) != kRoles.end()) return text;
  return ExpectedJson(where + ".role", "system, developer, user, assistant or tool", role);
}

Result<std::string> ReadContent(std::string_view role, const Json& item, const std::string& where) {
  const Json* content = FindField(item, "content");
  if (content != nullptr && content->is_string()) return content->get<std::string>();
  if (content != nullptr && content->is_array()) return JoinParts(*content, where + ".content");
  const bool absent = content == nullptr || content->is_null();
  if (absent && SaysOtherwise(role, item)) return std::string();
  return ExpectedJson(where + ".content", "a string or an array of parts", content);
}

// tool_calls as a model's reply has them.
Status CheckToolCalls(const Json& item, const std::string& where) {
  const Json* calls = FindField(item, "tool_calls");
  if (calls == nullptr || calls->is_null()) return {};
  if (!calls->is_array()) return ExpectedJson(where + ".tool_calls", "an array", calls);
  for (size_t i = 0; i < calls->size(); ++i) {
    const std::string place = where + ".tool_calls[" + std::to_string(i) + "]";
    const Json& call = (*calls)[i];
    if (!call.is_object()) return ExpectedJson(place, "an object", &call);
    const Json* function = FindField(call, "function");
    if (function == nullptr || !function->is_object()) {
      return ExpectedJson(place + ".function", "an object", function);
    }
    const Json* name = FindField(*function, "name");
    if (name == nullptr || !name->is_string()) {
      return ExpectedJson(place + ".function.name", "a string", name);
    }
    const Json* arguments = FindField(*function, "arguments");
    if (arguments != nullptr && !arguments->is_string() && !arguments->is_object()) {
      return ExpectedJson(place + ".function.arguments", "a string or an object", arguments);
    }
  }
  return {};
}

std::string Place(size_t i) { return "messages[" + std::to_string(i) + "]"; }

}  // namespace

const Json* FindField(const Json& object, const char* name) {
  const auto field = object.find(name);
  return field == object.end() ? nullptr : &*field;
}

Status ExpectedJson(std::string where, std::string_view expected, const Json* found) {
  std::string what = "nothing";
  if (found != nullptr) {
    const bool scalar = found->is_number() || found->is_boolean();
    what = found->is_string() ? Quoted(found->get_ref<const std::string&>())
           : scalar           ? DumpJson(*found)
                              : found->type_name();
  }
  return Status::InvalidArgument(std::move(where) + ": " + std::string(expected) +
                                 " expected, found " + what);
}

Result<Json> ParseExtras(const Message& message) {
  if (message.extras.empty()) return Json::object();
  auto extras = ParseJson(message.extras, kExtrasDepthMax);
  if (!extras.ok() || !extras->is_object()) {
    return Status::InvalidArgument("message extras: a JSON object expected, found " +
                                   (extras.ok() ? extras->type_name() : extras.status().message()));
  }
  for (const char* name : {"role", "content"}) {
    if (FindField(*extras, name) != nullptr) {
      return Status::InvalidArgument(std::string("message extras: '") + name +
                                     "' belongs to the message itself");
    }
  }
  return extras;
}

Status CheckMessage(const Message& message) {
  if (std::ranges::find(kRoles, message.role) == kRoles.end()) {
    return Status::InvalidArgument(
        "message role: system, user, assistant or tool expected, found " + Quoted(message.role));
  }
  if (!IsValidUtf8(message.content)) {
    return Status::InvalidArgument("message content: well-formed UTF-8 expected");
  }
  return ParseExtras(message).status();
}

Status CheckToolCallId(std::string_view role, const Json& fields, std::string_view where) {
  if (role != "tool") return {};
  const Json* id = FindField(fields, "tool_call_id");
  if (id != nullptr && id->is_string() && !id->get_ref<const std::string&>().empty()) return {};
  return ExpectedJson(std::string(where) + ".tool_call_id", "a string that is not empty", id);
}

Result<Json> MessagesToJson(std::span<const Message> messages) {
  Json out = Json::array();
  for (const Message& message : messages) {
    GYRATOR_ASSIGN_OR_RETURN(Json extras, ParseExtras(message));
    Json item = {{"role", message.role}, {"content", message.content}};
    auto& fields = item.get_ref<Json::object_t&>();  // its names are all different: no search
    for (auto& field : extras.get_ref<Json::object_t&>()) {
      fields.emplace_back(field.first, std::move(field.second));
    }
    out.push_back(std::move(item));
  }
  return out;
}

Result<Json> MessagesToOpenAi(std::span<const Message> messages) {
  GYRATOR_ASSIGN_OR_RETURN(Json out, MessagesToJson(messages));
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].content.empty() && IsOnlyToolCalls(messages[i].role, out[i])) {
      out[i]["content"] = nullptr;
    }
  }
  return out;
}

Result<std::vector<Message>> MessagesFromJson(const Json& value) {
  if (!value.is_array()) return ExpectedJson("messages", "an array", &value);
  std::vector<Message> messages;
  for (const Json& item : value) {
    const std::string where = Place(messages.size());
    if (!item.is_object()) return ExpectedJson(where, "an object", &item);
    Message message;
    GYRATOR_ASSIGN_OR_RETURN(message.role, ReadRole(item, where));
    GYRATOR_ASSIGN_OR_RETURN(message.content, ReadContent(message.role, item, where));
    Json extras = item;
    extras.erase("role");
    extras.erase("content");
    if (!extras.empty()) message.extras = DumpJson(extras);
    messages.push_back(std::move(message));
  }
  return messages;
}

Result<std::vector<Message>> RequestMessages(const Json& value) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Message> messages, MessagesFromJson(value));
  for (size_t i = 0; i < messages.size(); ++i) {
    GYRATOR_RETURN_IF_ERROR(CheckToolCalls(value[i], Place(i)));
    GYRATOR_RETURN_IF_ERROR(CheckToolCallId(messages[i].role, value[i], Place(i)));
  }
  return messages;
}

Result<std::vector<Message>> ParseMessages(std::string_view json) {
  auto value = ParseExactJson(json, kExtrasDepthMax + 1);
  if (!value.ok()) return Status::InvalidArgument("messages: " + value.status().message());
  return RequestMessages(*value);
}

Result<std::string> MessagesJson(std::span<const Message> messages) {
  for (size_t i = 0; i < messages.size(); ++i) {
    GYRATOR_RETURN_IF_ERROR(CheckMessage(messages[i]).Annotate(Place(i)));
  }
  GYRATOR_ASSIGN_OR_RETURN(const Json value, MessagesToOpenAi(messages));
  return DumpJson(value);
}

}  // namespace gyrator

#include "gyrator/conversation.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/fs.h"
#include "base/utf8.h"
#include "engine/messages.h"
#include "engine/session_snapshot.h"

namespace gyrator {

namespace {

constexpr uint64_t kFileBytesMax = uint64_t{1} << 30;

bool IsId(std::string_view text) {
  constexpr size_t kDigits = 32;
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The field `name`, which must hold one of the two types.
Result<Json> TakeField(Json& object, const char* name, std::string_view expected,
                       std::initializer_list<Json::value_t> types) {
  const auto field = object.find(name);
  if (field == object.end() || std::ranges::find(types, field->type()) == types.end()) {
    return Status::Corruption(std::string(name) + ": " + std::string(expected) +
                              " expected, found " +
                              (field == object.end() ? "nothing" : field->type_name()));
  }
  return std::move(*field);
}

Status CheckFieldNames(const Json& object) {
  for (const auto& item : object.items()) {
    if (item.key() != "id" && item.key() != "system" && item.key() != "messages") {
      return Status::Corruption("id, system and messages expected, found '" + item.key() + "'");
    }
  }
  return {};
}

}  // namespace

Conversation::Conversation(std::string system) : id_(NewSessionId()) {
  GYRATOR_CHECK(IsValidUtf8(system));
  if (!system.empty()) system_ = std::move(system);
}

Conversation::Conversation(Conversation&& other) noexcept
    : id_(std::exchange(other.id_, {})),
      system_(std::exchange(other.system_, std::nullopt)),
      messages_(std::exchange(other.messages_, {})),
      n_past_(std::exchange(other.n_past_, 0)),
      dirty_(std::exchange(other.dirty_, false)),
      revision_(other.revision_++),
      row_(std::move(other.row_)) {}

Conversation& Conversation::operator=(Conversation&& other) noexcept {
  Conversation taken(std::move(other));
  std::swap(id_, taken.id_);
  std::swap(system_, taken.system_);
  std::swap(messages_, taken.messages_);
  std::swap(n_past_, taken.n_past_);
  std::swap(dirty_, taken.dirty_);
  std::swap(row_, taken.row_);
  revision_ = std::max(revision_, taken.revision_) + 1;
  return *this;
}

void Conversation::MarkChanged() {
  dirty_ = true;
  ++revision_;
}

void Conversation::MarkPrepared(Position n_past) {
  n_past_ = n_past;
  dirty_ = false;
}

Status Conversation::Add(Message message) {
  if (message.role == "system") {
    return Status::InvalidArgument(
        "message role: user, assistant or tool expected, found 'system'; set it with SetSystem");
  }
  GYRATOR_RETURN_IF_ERROR(CheckMessage(message));
  GYRATOR_ASSIGN_OR_RETURN(const Json extras, ParseExtras(message));
  GYRATOR_RETURN_IF_ERROR(CheckToolCallId(message.role, extras, "message"));
  message.extras = extras.empty() ? "" : DumpJson(extras);
  messages_.push_back(std::move(message));
  MarkChanged();
  return {};
}

Status Conversation::AddUser(std::string text) {
  return Add({.role = "user", .content = std::move(text), .extras = {}});
}

Status Conversation::AddAssistant(std::string text, std::string extras) {
  return Add({.role = "assistant", .content = std::move(text), .extras = std::move(extras)});
}

Status Conversation::AddToolResult(std::string_view tool_call_id, std::string content) {
  if (!IsValidUtf8(tool_call_id)) {
    return Status::InvalidArgument("message.tool_call_id: well-formed UTF-8 expected");
  }
  return Add({.role = "tool",
              .content = std::move(content),
              .extras = DumpJson({{"tool_call_id", tool_call_id}})});
}

Status Conversation::SetSystem(std::string text) {
  if (!IsValidUtf8(text)) return Status::InvalidArgument("system: well-formed UTF-8 expected");
  if (system_ == text) return {};
  system_ = std::move(text);
  n_past_ = 0;
  MarkChanged();
  return {};
}

void Conversation::ClearSystem() {
  if (!system_) return;
  system_.reset();
  n_past_ = 0;
  MarkChanged();
}

Status Conversation::Truncate(size_t count) {
  if (count > messages_.size()) {
    return Status::InvalidArgument("truncate: at most " + std::to_string(messages_.size()) +
                                   " messages expected, found " + std::to_string(count));
  }
  if (count == messages_.size()) return {};
  messages_.resize(count);
  MarkChanged();
  return {};
}

Status Conversation::Edit(size_t index, std::string content) {
  if (index >= messages_.size()) {
    return Status::InvalidArgument("edit: message " + std::to_string(index) +
                                   ": an index below the number of messages, " +
                                   std::to_string(messages_.size()) + ", expected");
  }
  if (!IsValidUtf8(content)) {
    return Status::InvalidArgument("edit: message " + std::to_string(index) +
                                   ": well-formed UTF-8 expected");
  }
  messages_.resize(index + 1);
  messages_[index].content = std::move(content);
  MarkChanged();
  return {};
}

void Conversation::Reset() {
  messages_.clear();
  row_.reset();
  MarkChanged();
  MarkPrepared(0);
}

Conversation Conversation::Fork() const {
  Conversation fork;
  fork.system_ = system_;
  fork.messages_ = messages_;
  fork.n_past_ = n_past_;
  fork.dirty_ = dirty_;
  return fork;
}

std::vector<Message> Conversation::AllMessages() const {
  std::vector<Message> all;
  if (system_) all.push_back({.role = "system", .content = *system_, .extras = {}});
  all.insert(all.end(), messages_.begin(), messages_.end());
  return all;
}

std::string Conversation::Format() const {
  std::string text;
  for (const Message& message : messages_) {
    if (&message != messages_.data()) text += '\n';
    text += message.role + ": " + message.content;
  }
  return text;
}

std::string Conversation::ToJson() const {
  auto messages = MessagesToOpenAi(messages_);
  GYRATOR_CHECK(messages.ok());  // Add took them
  return DumpJson({{"id", id_},
                   {"system", system_ ? Json(*system_) : Json()},
                   {"messages", *std::move(messages)}});
}

Result<Conversation> Conversation::FromJson(std::string_view json) {
  using Type = Json::value_t;
  GYRATOR_ASSIGN_OR_RETURN(Json value,
                           ParseJson(json, kExtrasDepthMax + 2, DuplicateNames::kRefuse));
  if (!value.is_object()) {
    return Status::Corruption(std::string("conversation: an object expected, found ") +
                              value.type_name());
  }
  GYRATOR_RETURN_IF_ERROR(CheckFieldNames(value));
  GYRATOR_ASSIGN_OR_RETURN(const Json id, TakeField(value, "id", "a string", {Type::string}));
  GYRATOR_ASSIGN_OR_RETURN(const Json system, TakeField(value, "system", "a string or null",
                                                        {Type::string, Type::null}));
  GYRATOR_ASSIGN_OR_RETURN(const Json list,
                           TakeField(value, "messages", "an array", {Type::array}));
  Conversation conversation;
  conversation.id_ = id.get<std::string>();
  if (!IsId(conversation.id_)) {
    return Status::Corruption("id: 32 hex digits expected, found '" + conversation.id_ + "'");
  }
  if (system.is_string()) conversation.system_ = system.get<std::string>();
  auto messages = MessagesFromJson(list);
  if (!messages.ok()) return Status::Corruption(messages.status().message());
  for (Message& message : *messages) {
    const size_t index = conversation.messages_.size();
    const Status status = conversation.Add(std::move(message));
    if (!status.ok()) {
      return Status::Corruption("messages[" + std::to_string(index) + "]: " + status.message());
    }
  }
  return conversation;
}

Status Conversation::Save(const std::string& path) const {
  return ReplaceFile(PosixFileSystem(), path, AsBytes(ToJson()));
}

Result<Conversation> Conversation::Load(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string json,
                           ReadFile(PosixFileSystem(), path, kFileBytesMax));
  auto conversation = FromJson(json);
  if (!conversation.ok()) return std::move(conversation).status().Annotate(path);
  return conversation;
}

}  // namespace gyrator

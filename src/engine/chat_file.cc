// chat.json: the transcript in a snapshot.
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.h"
#include "base/json_scan.h"
#include "engine/messages.h"
#include "engine/session_snapshot.h"
#include "snapshot/chat_scan.h"
#include "snapshot/errors.h"
#include "snapshot/format.h"
#include "snapshot/limits.h"

namespace gyrator {

namespace {

Status MessageError(size_t index, std::string_view why) {
  return StateInconsistent(kChatFile, "message " + std::to_string(index) + ": " + std::string(why));
}

// By way of a JSON value: all that OpenAI's form of a message allows.
Result<Message> ParseSmall(const ScannedMessage& scanned) {
  auto value = ParseJson(scanned.text, kChatDepthMax - 1);
  if (!value.ok()) return MessageError(scanned.index, value.status().message());
  value->erase("span");
  Json list = Json::array();
  list.push_back(*std::move(value));
  auto messages = MessagesFromJson(list);
  if (!messages.ok()) return MessageError(scanned.index, messages.status().message());
  return std::move((*messages)[0]);
}

// A value of it could take twenty times its room. Its text is scanned instead; the extras are cut
// out of it.
Result<Message> ParseLarge(const ScannedMessage& scanned) {
  JsonScanner scanner(scanned.text, kChatDepthMax - 1);
  Message message;
  bool has_content = false;
  GYRATOR_RETURN_IF_ERROR(scanner.Expect('{'));
  for (bool more = !scanner.Accept('}'); more; more = scanner.Accept(',')) {
    std::string name;
    GYRATOR_RETURN_IF_ERROR(scanner.String(&name));
    GYRATOR_RETURN_IF_ERROR(scanner.Expect(':'));
    if (name == "role" || name == "content") {
      std::string& text = name == "role" ? message.role : message.content;
      text.clear();
      has_content = has_content || name == "content";
      if (scanner.Peek() != '"') return MessageError(scanned.index, name + ": a string expected");
      GYRATOR_RETURN_IF_ERROR(scanner.String(&text));
      continue;
    }
    const bool is_extra = name != "span";
    if (is_extra) {
      message.extras += message.extras.empty() ? '{' : ',';
      message.extras += DumpJson(name) + ":";
    }
    GYRATOR_RETURN_IF_ERROR(scanner.Value(is_extra ? &message.extras : nullptr));
  }
  if (!message.extras.empty()) message.extras += '}';
  const Status role = CheckMessage({.role = message.role, .content = {}, .extras = {}});
  if (!role.ok()) return MessageError(scanned.index, role.message());
  if (!has_content) return MessageError(scanned.index, "content: a string expected, found nothing");
  return message;
}

}  // namespace

Result<std::string> ChatText(std::span<const Message> messages,
                             std::span<const TokenRange> ranges) {
  GYRATOR_ASSIGN_OR_RETURN(Json chat, MessagesToJson(messages));
  for (size_t i = 0; i < messages.size(); ++i) {
    if (ranges[i].begin >= 0) chat[i]["span"] = {ranges[i].begin, ranges[i].end};
  }
  return DumpJson(chat, 1) + "\n";
}

Status ForEachMessage(std::string_view text,
                      const std::function<Status(Message message, TokenRange range)>& take) {
  return ScanChat(text, [&](const ScannedMessage& scanned) -> Status {
    if (scanned.end > std::numeric_limits<int32_t>::max()) {
      return MessageError(scanned.index, "span: token numbers below 2^31 expected");
    }
    const bool large = scanned.text.size() > kParsedMessageBytesMax;
    GYRATOR_ASSIGN_OR_RETURN(Message message, large ? ParseLarge(scanned) : ParseSmall(scanned));
    return take(std::move(message), {.begin = static_cast<int32_t>(scanned.begin),
                                     .end = static_cast<int32_t>(scanned.end)});
  });
}

Result<ParsedChat> ParseChat(std::string_view text) {
  size_t count = 0;
  GYRATOR_RETURN_IF_ERROR(ScanChat(text, [&count](const ScannedMessage&) {
    ++count;
    return Status();
  }));
  ParsedChat parsed;
  parsed.messages.reserve(count);
  parsed.ranges.reserve(count);
  GYRATOR_RETURN_IF_ERROR(ForEachMessage(text, [&parsed](Message message, TokenRange range) {
    parsed.messages.push_back(std::move(message));
    parsed.ranges.push_back(range);
    return Status();
  }));
  return parsed;
}

}  // namespace gyrator

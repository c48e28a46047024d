#include "snapshot/chat_scan.h"

#include "base/json_scan.h"
#include "base/utf8.h"
#include "snapshot/errors.h"
#include "snapshot/format.h"
#include "snapshot/limits.h"

namespace gyrator {

namespace {

Status MessageError(size_t index, std::string_view why) {
  return StateInconsistent(kChatFile, "message " + std::to_string(index) + ": " + std::string(why));
}

// null, or [begin, end]
Status ScanSpan(JsonScanner* scanner, ScannedMessage* message) {
  message->begin = message->end = -1;
  if (scanner->Peek() == 'n') return scanner->Value(nullptr);
  const bool is_pair = scanner->Accept('[') && scanner->WholeNumber(&message->begin).ok() &&
                       scanner->Accept(',') && scanner->WholeNumber(&message->end).ok() &&
                       scanner->Accept(']');
  return is_pair ? Status() : MessageError(message->index, "expected 'span': [begin, end]");
}

Status ScanMessage(std::string_view chat, JsonScanner* scanner, ScannedMessage* message) {
  if (scanner->Peek() != '{') return MessageError(message->index, "expected an object");
  const size_t begin = scanner->offset();
  bool has_role = false;
  (void)scanner->Accept('{');
  for (bool more = !scanner->Accept('}'); more;) {
    std::string name;
    GYRATOR_RETURN_IF_ERROR(scanner->String(&name));
    GYRATOR_RETURN_IF_ERROR(scanner->Expect(':'));
    if (name == "span") {
      GYRATOR_RETURN_IF_ERROR(ScanSpan(scanner, message));
    } else {
      if (name == "role") has_role = scanner->Peek() == '"';
      GYRATOR_RETURN_IF_ERROR(scanner->Value(nullptr));
    }
    more = scanner->Accept(',');
    if (!more) GYRATOR_RETURN_IF_ERROR(scanner->Expect('}'));
  }
  message->text = chat.substr(begin, scanner->offset() - begin);
  return has_role ? Status() : MessageError(message->index, "expected a string 'role'");
}

// A failure of the grammar names the file; one of a message is named already.
Status InChat(const Status& status) {
  return status.name().empty() ? StateInconsistent(kChatFile, status.message()) : status;
}

}  // namespace

Status ScanChat(std::string_view chat, const std::function<Status(const ScannedMessage&)>& take) {
  if (!IsValidUtf8(chat)) return StateInconsistent(kChatFile, "not UTF-8");
  JsonScanner scanner(chat, kChatDepthMax - 2);  // below the array and a message
  if (!scanner.Accept('[')) return StateInconsistent(kChatFile, "expected an array of messages");
  bool more = !scanner.Accept(']');
  for (size_t index = 0; more; ++index) {
    ScannedMessage message;
    message.index = index;
    if (Status status = ScanMessage(chat, &scanner, &message); !status.ok()) return InChat(status);
    GYRATOR_RETURN_IF_ERROR(take(message));
    more = scanner.Accept(',');
    if (!more) {
      if (Status status = scanner.Expect(']'); !status.ok()) return InChat(status);
    }
  }
  return scanner.ExpectEnd().ok() ? Status() : StateInconsistent(kChatFile, "more than one array");
}

}  // namespace gyrator

// Messages and records of conversations: whatever is read can be written, and reads back as the
// same.
#include "base/bytes.h"
#include "base/check.h"
#include "gyrator/conversation.h"
#include "gyrator/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const std::string_view text = AsText(std::as_bytes(std::span(data, size)));
  if (const auto messages = ParseMessages(text); messages.ok()) {
    const auto written = MessagesJson(*messages);
    GYRATOR_CHECK(written.ok());
    const auto again = ParseMessages(*written);
    GYRATOR_CHECK(again.ok() && *again == *messages);
  }
  if (const auto talk = Conversation::FromJson(text); talk.ok()) {
    const std::string written = talk->ToJson();
    const auto again = Conversation::FromJson(written);
    GYRATOR_CHECK(again.ok() && again->AllMessages() == talk->AllMessages());
    GYRATOR_CHECK(again->ToJson() == written);
  }
  return 0;
}

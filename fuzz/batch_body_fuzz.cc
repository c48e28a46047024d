// A line of a batch: whatever is taken can be handed to an engine.
#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "gyrator/chat_request.h"
#include "gyrator/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const std::string_view text = AsText(std::as_bytes(std::span(data, size)));
  const BatchLine line = ParseBatchLine(text, {});
  const auto alone = ParseChatRequest(text, {});
  if (alone.ok() && std::ranges::find(alone->ignored, "body") == alone->ignored.end()) {
    GYRATOR_CHECK(line.status.ok());
  }
  if (line.status.ok()) {
    GYRATOR_CHECK(CheckSampler(line.request.sampler).ok());
    GYRATOR_CHECK(!line.request.messages.empty() && MessagesJson(line.request.messages).ok());
    GYRATOR_CHECK(line.request.tokens_max >= -1);
    GYRATOR_CHECK(line.request.cancel_after_ms.value_or(0) >= 0);
    GYRATOR_CHECK(line.request.deadline_ms.value_or(0) >= 0);
  }
  return 0;
}

// chat.json, message by message: memory is that of its text, whatever is in it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator {

// One message of a chat.json, its grammar checked.
struct ScannedMessage {
  size_t index = 0;
  std::string_view text;  // its object
  int64_t begin = -1;     // of its span; -1: it has none
  int64_t end = -1;
};

// Calls `take` for each message in order until it refuses one. kCorruption "state_inconsistent"
// names the message: UTF-8, an array of objects nested at most kChatDepthMax deep, each with a
// string "role", and "span" either null or two whole numbers.
Status ScanChat(std::string_view chat, const std::function<Status(const ScannedMessage&)>& take);

}  // namespace gyrator

#include "snapshot/invariants.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "snapshot/chat_scan.h"
#include "snapshot/errors.h"
#include "snapshot/format.h"

namespace gyrator {

namespace {

Status ChatError(size_t message, std::string_view why) {
  return StateInconsistent(kChatFile,
                           "message " + std::to_string(message) + ": " + std::string(why));
}

std::string Counts(int64_t expected, size_t found) {
  return "expected " + std::to_string(expected) + ", found " + std::to_string(found);
}

}  // namespace

Status CheckChat(std::string_view chat, int64_t num_tokens) {
  int64_t end_before = 0;
  return ScanChat(chat, [&](const ScannedMessage& message) -> Status {
    if (message.begin < 0) return {};
    if (message.begin > message.end || message.end > num_tokens) {
      return ChatError(message.index,
                       "span ends beyond the " + std::to_string(num_tokens) + " tokens");
    }
    if (message.begin < end_before) {
      return ChatError(message.index, "span begins before the end of the one before it");
    }
    end_before = message.end;
    return {};
  });
}

Status CheckState(const StateView& state) {
  if (static_cast<int64_t>(state.tokens.size()) != state.cp) {
    return StateInconsistent(kInputIdsFile, "tokens: " + Counts(state.cp, state.tokens.size()));
  }
  if (static_cast<int64_t>(state.positions.size()) != state.cp) {
    return StateInconsistent(kPositionIdsFile,
                             "positions: " + Counts(state.cp, state.positions.size()));
  }
  if (state.capacity > 0 && state.cp > state.capacity) {
    return StateInconsistent(kConfigFile, "cache_position " + std::to_string(state.cp) +
                                              " is beyond cache_capacity " +
                                              std::to_string(state.capacity));
  }
  for (size_t i = 0; i < state.tokens.size(); ++i) {
    if (state.tokens[i] < 0 || (state.vocab_size > 0 && state.tokens[i] >= state.vocab_size)) {
      return StateInconsistent(
          kInputIdsFile, "token " + std::to_string(i) + " is " + std::to_string(state.tokens[i]) +
                             ", the vocabulary has " + std::to_string(state.vocab_size));
    }
    const Position least = i == 0 ? 0 : state.positions[i - 1] + 1;
    if (state.positions[i] < least) {
      return StateInconsistent(kPositionIdsFile, "position " + std::to_string(i) + " is " +
                                                     std::to_string(state.positions[i]) +
                                                     ", expected at least " +
                                                     std::to_string(least));
    }
  }
  if (!state.logits.empty()) {
    if (state.vocab_size > 0 && static_cast<int64_t>(state.logits.size()) != state.vocab_size) {
      return StateInconsistent(kLogitsFile,
                               "columns: " + Counts(state.vocab_size, state.logits.size()));
    }
    if (state.cp == 0) return StateInconsistent(kLogitsFile, "logits without a token");
    const bool finite = std::all_of(state.logits.begin(), state.logits.end(),
                                    [](float value) { return std::isfinite(value); });
    if (!finite) return StateInconsistent(kLogitsFile, "a value is not finite");
  }
  return CheckChat(state.chat, state.cp + state.evicted);
}

}  // namespace gyrator

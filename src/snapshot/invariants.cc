#include "snapshot/invariants.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "base/json.h"
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
  const Result<Json> parsed = ParseJson(chat);
  if (!parsed.ok()) return StateInconsistent(kChatFile, parsed.status().message());
  if (!parsed->is_array()) return StateInconsistent(kChatFile, "expected an array of messages");
  int64_t end_before = 0;
  for (size_t i = 0; i < parsed->size(); ++i) {
    const Json& message = (*parsed)[i];
    if (!message.is_object()) return ChatError(i, "expected an object");
    const auto role = message.find("role");
    if (role == message.end() || !role->is_string())
      return ChatError(i, "expected a string 'role'");
    const auto span = message.find("span");
    if (span == message.end() || span->is_null()) continue;
    const bool is_pair = span->is_array() && span->size() == 2 && (*span)[0].is_number_unsigned() &&
                         (*span)[1].is_number_unsigned();
    if (!is_pair) return ChatError(i, "expected 'span': [begin, end]");
    const auto begin = (*span)[0].get<uint64_t>(), end = (*span)[1].get<uint64_t>();
    if (begin > end || end > static_cast<uint64_t>(num_tokens)) {
      return ChatError(i, "span ends beyond the " + std::to_string(num_tokens) + " tokens");
    }
    if (static_cast<int64_t>(begin) < end_before) {
      return ChatError(i, "span begins before the end of the one before it");
    }
    end_before = static_cast<int64_t>(end);
  }
  return {};
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

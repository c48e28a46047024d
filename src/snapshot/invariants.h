// What must agree before a state is written and after it was read (spec 5.2).
#pragma once

#include <span>
#include <string_view>

#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator {

struct StateView {
  std::span<const TokenId> tokens;
  std::span<const Position> positions;
  int64_t cp = 0;
  int64_t capacity = 0;           // 0: not known
  int64_t vocab_size = 0;         // 0: not known
  std::string_view chat = "[]";   // text of chat.json
  std::span<const float> logits;  // [vocab] of the last position; empty: none stored
  int64_t evicted = 0;            // tokens of the session that are not among `tokens`
};

// "state_inconsistent" names the element: as many tokens as positions as cp; cp <= capacity; ids in
// [0, vocab_size); positions from 0, strictly increasing; chat well-formed with spans in order that
// end at or before cp + evicted; logits [vocab_size] and finite.
Status CheckState(const StateView& state);

// chat.json: an array of objects, each with a string "role" and optionally "span": [begin, end),
// token indexes, 0 <= begin <= end <= num_tokens, none before the end of the one before it.
Status CheckChat(std::string_view chat, int64_t num_tokens);

}  // namespace gyrator

// How well a session that evicts goes on predicting a conversation, and what it holds and decodes.
//
// Through the public API alone. Each token is given to the session and the logits before it are its
// last_logits(). The logits of a prompt's rows (on_prompt_logits) are no way: they are refused once
// something was evicted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gyrator/engine.h"

namespace gyrator {

using Dialogue =
    std::vector<Message>;  // perhaps a system message, then user and assistant by turns

struct Policy {
  std::string name;
  Overflow overflow = Overflow::kError;  // kError: all of the text fits
  int32_t sinks = 0;
};

struct Measured {
  double reply_loss = 0,
         loss = 0;  // sums of -ln p: of the replies' tokens, of all that were scored
  int64_t reply_tokens = 0, tokens = 0;
  int64_t length = 0;  // of the text
  uint64_t evictions = 0, decoded = 0, kv_bytes_max = 0;

  double reply_perplexity() const;
  double perplexity() const;  // NaN: not all were scored
};

struct MeasureOptions {
  std::shared_ptr<const Model> model;
  int32_t capacity = 0;
  Policy policy;
  EvictMode mode = EvictMode::kShift;
};

// Every token of the text, `<|end|>` and roles included.
std::vector<TokenId> TokensOf(const TextModel& text, const Dialogue& dialogue);

// Sums over the dialogues, each in a session of its own. The policy "message" needs to know the
// turns: its prompts are prepared as messages (not scored), its replies token by token. All others
// are given raw tokens, one by one, and all but the first are scored.
Result<Measured> Measure(const MeasureOptions& options, const std::vector<Dialogue>& dialogues);

}  // namespace gyrator

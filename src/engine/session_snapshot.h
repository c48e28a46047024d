// Between a session and its snapshot: identity keys, session keys, chat.json.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/keyvalue.h"
#include "engine/model_impl.h"
#include "engine/window.h"
#include "gyrator/engine.h"
#include "snapshot/window_text.h"

namespace gyrator {

// The config.txt keys of a live engine, geometry left out: what a snapshot must match
// (spec 4.4, 5.3). Computes the weights' digest if no cache has it.
Result<KeyValues> LiveIdentity(const ModelImpl& model, int32_t capacity);

// Where a message lies in the token sequence; begin -1: not known.
struct TokenRange {
  int32_t begin = -1;
  int32_t end = -1;
};

// chat.json: [{role, content, span?, ...extras}]. REQUIRES as many ranges as messages.
Result<std::string> ChatText(std::span<const Message> messages, std::span<const TokenRange> ranges);

// Calls `take` for each message of a chat.json in order, until it refuses one. Memory is that of
// the largest message, not of all. kCorruption "state_inconsistent" names the message.
Status ForEachMessage(std::string_view text,
                      const std::function<Status(Message message, TokenRange range)>& take);

struct ParsedChat {
  std::vector<Message> messages;
  std::vector<TokenRange> ranges;
};
Result<ParsedChat> ParseChat(std::string_view text);  // errors as ForEachMessage

// session.txt: sampler.*, rng.*. Floats as the shortest text that reads back to the same bits.
void WriteSampler(const SamplerOptions& options, uint64_t draws, KeyValues* keys);

struct ParsedSampler {
  SamplerOptions options;
  uint64_t draws = 0;
};
// Absent keys keep their defaults (bare folders have none). kCorruption "state_inconsistent".
Result<ParsedSampler> ReadSampler(const KeyValues& keys);

// session.txt: rng.draws_at, "[0,0,12]": draws before each message; empty when it is not there.
std::string DrawsText(std::span<const uint64_t> draws_at);
// kCorruption "state_inconsistent", also for more than there are messages.
Result<std::vector<uint64_t>> ReadDraws(const KeyValues& keys, size_t num_messages);

// window.txt, also of a window from which nothing was evicted, and back.
std::string TextOfWindow(const Window& window, const WindowOptions& options);
Window WindowFromText(const WindowText& text);
WindowOptions WindowOptionsFromText(const WindowText& text);

std::string_view PhaseName(Phase phase);  // "new", "running", "pending"

// 16 random bytes of the operating system, hex.
std::string NewSessionId();

}  // namespace gyrator

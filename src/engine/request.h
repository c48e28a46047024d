// One request in flight: what the loop knows of a session while it runs.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "gyrator/engine.h"
#include "tokenizer/stream_decoder.h"

namespace gyrator {

class SessionImpl;

inline uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// kWaiting: its sequence may be parked. kRunning: its blocks are there.
enum class RequestState : uint8_t { kWaiting, kRunning, kDone };

struct Request {
  // `tokenizer` may be null: the reply then has no text.
  Request(SessionImpl* its_session, const GenerateOptions* its_options, const Tokenizer* tokenizer)
      : session(its_session), options(its_options) {
    if (tokenizer != nullptr) decoder.emplace(*tokenizer, true);
  }

  SessionImpl* session;
  const GenerateOptions* options;
  std::vector<TokenId> tokens;  // the whole sequence: prompt, then what was sampled
  int32_t prompt_length = 0;
  bool responds = false;  // a chat turn: the reply joins the transcript
  RequestState state = RequestState::kWaiting;
  bool entered = false;  // has run before
  Status status;         // why it failed
  Reply reply;
  std::optional<StreamDecoder> decoder;
  uint64_t started_ns = 0;
  uint64_t first_token_ns = 0;  // 0: none yet

  // Until the first token is sampled; without the cache the prompt is decoded again after it.
  bool wants_prompt_logits() const { return options->on_prompt_logits && reply.tokens.empty(); }
};

}  // namespace gyrator

// One request in flight: what the loop knows of a session while it runs.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/caller.h"
#include "engine/prompt.h"
#include "engine/session_view.h"
#include "gyrator/engine.h"
#include "tokenizer/stream_decoder.h"

namespace gyrator {

class SessionImpl;

inline uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// kWaiting: its sequence may be parked. kRunning: its blocks are there.
enum class RequestState : uint8_t { kWaiting, kRunning, kDone };

// What the caller said to an event.
enum class Answer : uint8_t { kNone, kGoOn, kStop };

// Who goes first: the lowest. Fixed when the request is submitted, so that the lowest one always
// goes on and every request ends. Rows stand for time, whatever passes they are computed in: a
// lower priority is a later place in the queue, not the end of it.
struct Rank {
  int64_t due = 0;
  uint64_t ticket = 0;  // in the order of submission
  auto operator<=>(const Rank&) const = default;
};

struct Request {
  // `tokenizer` may be null: the reply then has no text.
  Request(SessionImpl* its_session, const GenerateOptions* its_options, const Tokenizer* tokenizer)
      : session(its_session), options(its_options) {
    if (tokenizer != nullptr) decoder.emplace(*tokenizer, true);
  }

  SessionImpl* const session;
  const GenerateOptions* const options;
  std::shared_ptr<Caller> caller;
  // The whole sequence: prompt, then what was sampled. All that was said until the request enters,
  // the window of it from then on.
  std::vector<TokenId> tokens;
  int32_t prompt_length = 0;
  PromptLayout layout;     // positions of all tokens; empty when the session evicts nothing
  bool holds = false;      // its session stays busy afterwards
  int32_t room = 0;        // tokens to evict, and no others
  bool continues = false;  // the second half of a turn: the first half read its prompt

  // Engine thread, until kDone was told.
  RequestState state = RequestState::kWaiting;
  Rank rank;
  bool viewed = false;   // `tokens` are those of the window
  bool entered = false;  // has run before
  bool fitted = false;   // what its prompt has to evict is evicted
  Status status;         // why it failed
  Reply reply;
  // What the session had when it entered. Part of it may have to be decoded again, before anything
  // is evicted from it: `goal` are the tokens to come back to then.
  std::vector<TokenId> held;
  std::optional<std::vector<TokenId>> goal;
  std::optional<StreamDecoder> decoder;
  uint64_t started_ns = 0;
  uint64_t waits_since_ns = 0;    // 0: it does not wait
  uint64_t waited_ns = 0;         // until it ran last
  uint64_t prompt_waited_ns = 0;  // of those, before the first token
  uint64_t first_token_ns = 0;    // 0: none yet
  uint64_t served = 0;            // the last pass that had rows of it
  int32_t logits_told = 0;        // leading positions of its prompt whose logits were told
  bool awaits = false;            // an answer; stands still until then
  bool late = false;              // it has awaited for longer than others are held up for it
  uint64_t late_since_ns = 0;     // while it is late
  bool stands = false;            // late for so long that it gives its room to whoever needs it
  bool stalled = false;           // no room for its next row, and it cannot be parked
  SessionView left;               // the session's cache when it was done

  std::atomic<Answer> answer = Answer::kNone;  // by the caller

  // --- What its reply says of time. `now`: NowNs().
  void BeginWait(uint64_t now) { waits_since_ns = now; }
  void EndWait(uint64_t now) {
    if (waits_since_ns != 0) waited_ns += now - std::exchange(waits_since_ns, 0);
  }
  void NoteFirstToken(uint64_t now) {
    if (first_token_ns != 0) return;
    first_token_ns = now;
    prompt_waited_ns = waited_ns;
  }
  void TellTimes(uint64_t now) {
    constexpr double kMs = 1e-6;
    const uint64_t later_ns = waited_ns - prompt_waited_ns;
    reply.wait_ms = static_cast<double>(waited_ns) * kMs;
    reply.prompt_ms = static_cast<double>(first_token_ns - started_ns - prompt_waited_ns) * kMs;
    reply.generate_ms = static_cast<double>(now - first_token_ns - later_ns) * kMs;
  }

  // Whether it is a turn or a completion, or the last half of one.
  bool is_turn() const { return !holds && room == 0; }
  // Until the first token is sampled; without the cache the prompt is decoded again after it.
  bool wants_prompt_logits() const { return options->on_prompt_logits && reply.tokens.empty(); }
};

}  // namespace gyrator

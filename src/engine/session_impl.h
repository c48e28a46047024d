// The state of one conversation. See gyrator/engine.h for the contract.
//
// A session has two sides. The live side (cache, sampler, live window) belongs to the engine thread
// while a request of the session is in flight. The other side belongs to the thread that uses the
// session: the transcript, and the view, which is what the session says of its cache. A request
// takes a new view from the cache when it ends, and InFlight hands it to the session however the
// call ends, so that the two sides never disagree between two requests.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/prompt.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/session_cache.h"
#include "engine/session_claim.h"
#include "engine/session_keys.h"
#include "engine/session_slot.h"
#include "engine/session_snapshot.h"
#include "engine/session_view.h"
#include "engine/text_model.h"
#include "engine/window.h"
#include "gyrator/engine.h"
#include "kv/sequence_manager.h"
#include "snapshot/reader.h"

namespace gyrator {

class EngineImpl;

constexpr size_t kNoMessage = SIZE_MAX;

// What is asked of a session.
enum class WorkKind : uint8_t {
  kRespond,   // the transcript is rendered, the reply joins it
  kPrepare,   // the transcript is rendered
  kComplete,  // tokens
  kHold,      // tokens; the session is held afterwards (EngineLoop::Hold)
  kMakeRoom,  // tokens, of which `room` are to be evicted
};

// The first message that was changed since the session's tokens were decoded, as far as the ranges
// of a saved session tell; `length`: of all tokens.
size_t EditedFrom(std::span<const TokenRange> ranges, int64_t length);

// What a session is made of when it comes from a snapshot.
struct RestoredState {
  std::vector<Message> transcript;
  std::vector<TokenRange> ranges;  // of the messages
  std::vector<uint64_t> draws_at;  // [transcript]: draws before each message; 0: not known
  SamplerOptions sampler;
  uint64_t draws = 0;
  SessionView view;  // of what the slot holds
  WindowOptions window_options;
  std::string id;
  std::string parent;
  std::vector<TokenId> opaque_prefix;  // history known as tokens only (bare v1.0 folder)
  SessionKeys keys;
  ForeignKeys foreign;                  // of the snapshot it came from
  size_t edited_from = kNoMessage;      // see EditedFrom
  std::optional<int32_t> dropped_from;  // see SessionImpl
};

// Transcript, sampler and identity of the conversation, from the parts that are not K and V.
// kCorruption "state_inconsistent"; kUnsupported.
Result<RestoredState> RestoreState(const Snapshot& snapshot);
// What CheckCompatible and RestoreState refuse together, short of the model that the session is to
// go on with, without building the session: `verify` and an import ask it, so that what they take
// in can be opened.
Status CheckLoadable(const Snapshot& snapshot);

// How things stood when a request was made.
struct Asked {
  std::vector<TokenId> all;   // tokens, with what was evicted
  int32_t prompt_length = 0;  // of all tokens
  uint64_t draws = 0;         // of the sampler
  WorkKind kind = WorkKind::kComplete;
};

// Since the session was made or loaded.
struct SessionCounts {
  uint64_t reused = 0, shared = 0, decoded = 0, generated = 0;
  int32_t windows_rebuilt = 0;
};

class SessionImpl final : public Session {
 public:
  SessionImpl(EngineImpl* engine, SessionSlot slot, RestoredState state);
  // Destroying a session in a callback of its own request is a bug of the caller.
  ~SessionImpl() override;

  Status Append(Message message) override;
  Result<Reply> Respond(const GenerateOptions& options) override;
  Status Check() const override;
  Result<Reply> Prepare(const GenerateOptions& options) override;
  Result<Reply> Complete(std::span<const TokenId> prefix, const GenerateOptions& options) override;
  Result<Explanation> Explain() const override;
  Result<Explanation> Explain(std::span<const TokenId> prefix) const override;
  Result<SaveReport> Save(const SaveOptions& options) override;
  Result<std::unique_ptr<Session>> Fork(const ForkOptions& options) override;
  Status Rewind(size_t count) override;
  Status Edit(size_t index, std::string content) override;
  Status SetTranscript(std::vector<Message> messages) override;
  Result<int32_t> MakeRoom(int32_t count) override;
  Result<std::vector<size_t>> EvictedMessages() const override;
  Status SetWindow(const WindowOptions& options) override;
  const WindowOptions& window() const override { return window_options_; }
  Status SetSampler(const SamplerOptions& options) override;
  const SamplerOptions& sampler() const override { return sampler_.options(); }
  SessionInfo info() const override;
  std::vector<TokenId> tokens() const override { return view_.tokens; }
  std::vector<TokenId> all_tokens() const override;
  std::span<const Message> transcript() const override { return transcript_; }
  std::span<const float> last_logits() const override { return *view_.logits; }

  const EngineImpl* engine() const { return engine_; }
  // Leave to use the session, until the claim ends. kInvalidArgument "busy": it is in use already,
  // by a request (also when one of its own callbacks asks) or by another thread. `what` is wanted.
  Result<SessionClaim> Claim(std::string_view what) const;
  bool in_use() const { return in_use_.load(std::memory_order_acquire); }

  // --- While the session is claimed.
  // The tokens of the next turn: the rendered transcript, or in opaque-prefix mode the tokens in
  // the cache and the new messages' part of the template.
  Result<Prompt> MakePrompt() const;
  // What a request found when it was made.
  Asked AskedNow(WorkKind kind, int32_t prompt_length) const;
  // Takes over what a request left, failed or not. Allocates nothing, for it also runs while an
  // exception passes. REQUIRES: the request is done.
  void Settle(Request* request, const Asked& asked) noexcept;
  // The reply of a request that is settled, or why it failed. The reply joins the transcript when
  // that was rendered for one.
  Result<Reply> Conclude(Request* request, const Asked& asked);

  // --- Engine thread, while a request of the session is in flight.
  SessionCache& cache() { return cache_; }
  const SessionCache& cache() const { return cache_; }
  Sampler& sampler_state() { return sampler_; }
  const Window& window_state() const { return *live_window_; }
  void set_window_state(Window window) {
    live_window_ = std::make_shared<const Window>(std::move(window));
  }
  SessionView TakeView() const;

 private:
  // --- What a request would find (explain.cc).
  Result<Explanation> Explained(const Prompt& prompt) const;
  Result<std::optional<Divergence>> Diverges(const Prompt& prompt, const CacheView& view) const;
  // Why `prompt` differs from what the session holds at position `at` of all tokens.
  Status Judge(const Prompt& prompt, int32_t at, Divergence* divergence) const;

  const Window& evicted() const { return *view_.window; }
  void AddMessage(Message message, TokenRange range, uint64_t draws);
  void MakePlaceFor(size_t messages);         // AddMessage of so many more allocates nothing
  void KeepMessages(size_t count);            // Rewind. REQUIRES: there are as many
  void KeepRangesUpTo(int64_t end) noexcept;  // of all tokens
  // How much of all tokens the ranges may speak of.
  int64_t EndOfRanges() const;
  Result<std::vector<TokenId>> OpaqueTokens() const;
  RenderOptions Rendering() const;
  Result<PromptLayout> PresentLayout() const;  // of all tokens, as far as they are the transcript's
  RestoredState CopyState() const;             // what a fork of it starts from
  // Forgets the tokens of dropped messages, brings a parked session back, to the bit, and keeps it
  // until Release, which does nothing for one that is not held.
  class Held;
  Status Hold();
  // The tokens that a held session has: the first `kept` of all tokens, or fewer where the window
  // was made for more than those.
  std::vector<TokenId> HeldTokens(int64_t kept) const;
  // How many of all tokens the first `count` messages need.
  int32_t TokensOfMessages(size_t count) const;
  void Release();
  Result<SaveReport> SaveHeld(const SaveOptions& options);
  void AppendReply(std::string text, const Asked& asked);

  EngineImpl* engine_;
  SessionSlot slot_;
  mutable std::atomic<bool> in_use_ = false;  // claimed
  SessionCache cache_;
  Sampler sampler_;
  std::shared_ptr<const Window> live_window_;  // never null; replaced, not changed
  WindowOptions window_options_;
  SessionView view_;
  std::vector<Message> transcript_;
  std::vector<TokenRange> ranges_;  // [transcript_]: where each message lies among all tokens
  std::vector<uint64_t> draws_at_;  // [transcript_]: of the sampler, before each message
  std::string id_;
  std::string parent_;
  std::vector<TokenId> opaque_prefix_;
  SessionKeys keys_;
  ForeignKeys foreign_;
  size_t edited_from_ = kNoMessage;  // the first message that is not what was decoded in its place
  // Messages were dropped, and the session's tokens from here on (of all tokens) are theirs. They
  // serve the next request as far as its prompt begins with them, but they are never saved.
  std::optional<int32_t> dropped_from_;
  SessionCounts counts_;
};

}  // namespace gyrator

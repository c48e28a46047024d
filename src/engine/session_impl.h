// The state of one conversation. See gyrator/engine.h for the contract.
//
// Its cache and its sampler belong to the engine thread while a request of it is in flight; the
// rest belongs to the thread that uses the session.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/prompt.h"
#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/session_cache.h"
#include "engine/session_slot.h"
#include "engine/session_snapshot.h"
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
  SharedLogits last_logits;        // [vocab]; null or empty: to be recomputed
  SamplerOptions sampler;
  uint64_t draws = 0;
  std::vector<TokenId> tokens;  // that the slot holds
  Window window;
  WindowOptions window_options;
  std::string id;
  std::string parent;
  std::vector<TokenId> opaque_prefix;  // history known as tokens only (bare v1.0 folder)
  std::string template_variables;
  ForeignKeys foreign;              // of the snapshot it came from
  size_t edited_from = kNoMessage;  // see EditedFrom
  std::optional<int32_t> dropped_from;  // see SessionImpl
};

// Transcript, sampler and identity of the conversation, from the parts that are not K and V.
// kCorruption "state_inconsistent"; kUnsupported.
Result<RestoredState> RestoreState(const Snapshot& snapshot);
// What a load refuses of a snapshot that was opened, short of the model that it is to go on with.
// `verify` and an import ask the same: what they take in can be opened.
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
  std::vector<TokenId> tokens() const override { return held_; }
  std::vector<TokenId> all_tokens() const override { return window_.All(held_); }
  std::span<const Message> transcript() const override { return transcript_; }
  std::span<const float> last_logits() const override { return cache_.logits(); }

  // The tokens of the next turn: the rendered transcript, or in opaque-prefix mode the tokens in
  // the cache and the new messages' part of the template.
  Result<Prompt> MakePrompt() const;
  // After a request of it is done: what it says joins the transcript, when that was rendered for a
  // reply.
  Result<Reply> Settle(Request* request, const Asked& asked);

  SessionCache& cache() { return cache_; }
  const SessionCache& cache() const { return cache_; }
  Sampler& sampler_state() { return sampler_; }
  Window& window_state() { return window_; }
  const Window& window_state() const { return window_; }

 private:
  // --- What a request would find (explain.cc).
  Result<Explanation> Explained(const Prompt& prompt) const;
  Result<std::optional<Divergence>> Diverges(const Prompt& prompt, const CacheView& view) const;
  // Why `prompt` differs from what the session holds at position `at` of all tokens.
  Status Judge(const Prompt& prompt, int32_t at, Divergence* divergence) const;

  // What of the transcript is no longer what was decoded.
  void ForgetRanges(const Asked& asked);
  Result<std::vector<TokenId>> OpaqueTokens() const;
  RenderOptions Rendering() const;
  Result<PromptLayout> PresentLayout() const;  // of all tokens, as far as they are the transcript's
  RestoredState CopyState() const;             // what a fork of it starts from
  // Forgets the tokens of dropped messages, brings a parked session back, to the bit, and keeps it
  // until Release.
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
  SessionCache cache_;  // the engine thread's while a request is in flight, as the next two
  Sampler sampler_;
  Window window_;
  WindowOptions window_options_;
  std::vector<TokenId> held_;  // tokens of the window
  std::vector<Message> transcript_;
  std::vector<TokenRange> ranges_;  // [transcript_]: where each message lies among all tokens
  std::vector<uint64_t> draws_at_;  // [transcript_]: of the sampler, before each message
  std::string id_;
  std::string parent_;
  std::vector<TokenId> opaque_prefix_;
  std::string template_variables_;
  ForeignKeys foreign_;
  size_t edited_from_ = kNoMessage;  // the first message that is not what was decoded in its place
  // Messages were dropped, and the session's tokens from here on (of all tokens) are theirs. They
  // serve the next request as far as its prompt begins with them, but they are never saved.
  std::optional<int32_t> dropped_from_;
  SessionCounts counts_;
};

}  // namespace gyrator

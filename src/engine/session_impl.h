// The state of one conversation. See gyrator/engine.h for the contract.
//
// Its cache and its sampler belong to the engine thread while a request of it is in flight; the
// rest belongs to the thread that uses the session.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "engine/sampler.h"
#include "engine/session_cache.h"
#include "engine/session_slot.h"
#include "engine/session_snapshot.h"
#include "engine/text_model.h"
#include "gyrator/engine.h"
#include "kv/sequence_manager.h"
#include "snapshot/writer.h"

namespace gyrator {

class EngineImpl;

// What a session is made of when it comes from a snapshot.
struct RestoredState {
  std::vector<Message> transcript;
  std::vector<TokenRange> ranges;  // of the messages
  SharedLogits last_logits;        // [vocab]; null or empty: to be recomputed
  SamplerOptions sampler;
  uint64_t draws = 0;
  std::string id;
  std::string parent;
  std::vector<TokenId> opaque_prefix;  // history known as tokens only (bare v1.0 folder)
  ForeignKeys foreign;                 // of the snapshot it came from
};

class SessionImpl final : public Session {
 public:
  // `cp`: tokens that the slot holds.
  SessionImpl(EngineImpl* engine, SessionSlot slot, RestoredState state, int32_t cp);

  Status Append(Message message) override;
  Result<Reply> Respond(const GenerateOptions& options) override;
  Result<Reply> Complete(std::span<const TokenId> prefix, const GenerateOptions& options) override;
  Result<SaveReport> Save(const SaveOptions& options) override;
  Status SetSampler(const SamplerOptions& options) override;
  const SamplerOptions& sampler() const override { return sampler_.options(); }
  SessionInfo info() const override;
  std::vector<TokenId> tokens() const override;
  std::span<const Message> transcript() const override { return transcript_; }
  std::span<const float> last_logits() const override { return cache_.logits(); }
  Result<std::unique_ptr<Session>> Fork(const ForkOptions& options) override;

  // The tokens of the next turn: the rendered transcript, or in opaque-prefix mode the tokens in
  // the cache and the new messages' part of the template.
  Result<std::vector<TokenId>> PromptTokens() const;
  // After a request of it is done: what it says joins the transcript when it `responds`.
  Result<Reply> Settle(Request* request, bool responds);

  SessionCache& cache() { return cache_; }
  Sampler& sampler_state() { return sampler_; }

 private:
  Result<std::vector<TokenId>> OpaqueTokens() const;
  RestoredState CopyState() const;  // what a fork of it starts from
  // Brings a parked session back, to the bit, and keeps it until Release.
  Status Hold();
  void Release();
  Result<SaveReport> SaveHeld(const SaveOptions& options);
  // The reply joins the transcript; the prompt that it answers had `prompt_length` tokens.
  void AppendReply(std::string text, int32_t prompt_length);

  EngineImpl* engine_;
  SessionSlot slot_;
  SessionCache cache_;
  Sampler sampler_;
  int32_t cp_;  // tokens in the cache
  std::vector<Message> transcript_;
  std::vector<TokenRange> ranges_;  // [transcript_]: where each message lies in the sequence
  std::string id_;
  std::string parent_;
  std::vector<TokenId> opaque_prefix_;
  ForeignKeys foreign_;
};

}  // namespace gyrator

// The state of one conversation. See gyrator/engine.h for the contract.
//
// Cache, tokens, cp, chat, sampler and last logits change together: Sync and Commit keep them
// consistent after every step, also when a step fails.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/sampler.h"
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
  std::vector<TokenRange> ranges;                   // of the messages
  std::shared_ptr<std::vector<float>> last_logits;  // [vocab]; null or empty: to be recomputed
  SamplerOptions sampler;
  uint64_t draws = 0;
  std::string id;
  std::string parent;
  std::vector<TokenId> opaque_prefix;  // history known as tokens only (bare v1.0 folder)
  ForeignKeys foreign;                 // of the snapshot it came from
};

class SessionImpl final : public Session {
 public:
  SessionImpl(EngineImpl* engine, OwnedSlot slot, RestoredState state);

  Status Append(Message message) override;
  Result<Reply> Respond(const GenerateOptions& options) override;
  Result<Reply> Complete(std::span<const TokenId> prefix, const GenerateOptions& options) override;
  Result<SaveReport> Save(const SaveOptions& options) override;
  Status SetSampler(const SamplerOptions& options) override;
  const SamplerOptions& sampler() const override { return sampler_.options(); }
  SessionInfo info() const override;
  std::vector<TokenId> tokens() const override { return sequences().tokens(slot_.id()).ToVector(); }
  std::span<const Message> transcript() const override { return transcript_; }
  std::span<const float> last_logits() const override { return *last_logits_; }
  Result<std::unique_ptr<Session>> Fork(const ForkOptions& options) override;

  // The tokens of the next turn: the rendered transcript, or in opaque-prefix mode the tokens in
  // the cache and the new messages' part of the template.
  Result<std::vector<TokenId>> PromptTokens() const;

  // Makes the sequence a prefix of `tokens` (the whole of it from position 0), from what it holds
  // itself and from what others published, and reserves the rest: the one place that computes
  // positions. Afterwards tokens[cp:] are to be decoded; none are when last_logits() already belong
  // to all of `tokens`. `reuse` false starts from nothing. kExhausted "capacity" changes nothing;
  // kExhausted "kv_pool" leaves a prefix of `tokens`, or the session parked.
  Result<Reused> Sync(std::span<const TokenId> tokens, bool reuse);
  // Takes rows that a pass has just stored; `logits` [vocab] belong to the last of them, or are
  // empty when more rows follow.
  void Commit(std::span<const TokenId> tokens, std::span<const float> logits);

  const Sequence& sequence() const { return slot_.sequence(); }
  SequenceManager& sequences() const { return slot_.manager(); }
  SlotId slot() const { return slot_.id(); }
  Sampler& sampler_state() { return sampler_; }
  // The reply joins the transcript; the prompt that it answers had `prompt_length` tokens.
  void AppendReply(std::string text, int32_t prompt_length);

 private:
  Result<std::vector<TokenId>> OpaqueTokens() const;
  void ForgetLogits();
  RestoredState CopyState() const;  // what a fork of it starts from
  Status MakeResident();            // brings a parked session back, to the bit

  EngineImpl* engine_;
  OwnedSlot slot_;
  // [vocab] after all of the sequence, or empty; forks share them until they differ.
  std::shared_ptr<std::vector<float>> last_logits_;
  Sampler sampler_;
  std::vector<Message> transcript_;
  std::vector<TokenRange> ranges_;  // [transcript_]: where each message lies in the sequence
  std::string id_;
  std::string parent_;
  std::vector<TokenId> opaque_prefix_;
  ForeignKeys foreign_;
};

}  // namespace gyrator

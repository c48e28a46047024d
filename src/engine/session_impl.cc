#include "engine/session_impl.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/engine_impl.h"
#include "engine/messages.h"
#include "engine/named_save.h"

namespace gyrator {

SessionImpl::SessionImpl(EngineImpl* engine, SessionSlot slot, RestoredState state, int32_t cp)
    : engine_(engine),
      slot_(std::move(slot)),
      cache_(&engine->loop().sequences(), slot_.id(), std::move(state.last_logits)),
      sampler_(std::move(state.sampler), state.draws),
      cp_(cp),
      transcript_(std::move(state.transcript)),
      ranges_(std::move(state.ranges)),
      id_(std::move(state.id)),
      parent_(std::move(state.parent)),
      opaque_prefix_(std::move(state.opaque_prefix)),
      foreign_(std::move(state.foreign)) {}

Status SessionImpl::Append(Message message) {
  GYRATOR_RETURN_IF_ERROR(CheckMessage(message));
  transcript_.push_back(std::move(message));
  ranges_.emplace_back();
  return {};
}

Result<Reply> SessionImpl::Respond(const GenerateOptions& options) {
  BatchRequest request{.session = this, .prefix = {}, .options = options};
  return std::move(engine_->Run({&request, 1})[0]);
}

Result<Reply> SessionImpl::Complete(std::span<const TokenId> prefix,
                                    const GenerateOptions& options) {
  if (prefix.empty())
    return Status::InvalidArgument("prompt: at least one token expected, found none");
  BatchRequest request{
      .session = this, .prefix = {prefix.begin(), prefix.end()}, .options = options};
  return std::move(engine_->Run({&request, 1})[0]);
}

Status SessionImpl::SetSampler(const SamplerOptions& options) {
  GYRATOR_RETURN_IF_ERROR(CheckSampler(options));
  // Another seed is another stream; the same one goes on where it stands.
  const uint64_t draws = options.seed == sampler_.options().seed ? sampler_.draws() : 0;
  sampler_ = Sampler(options, draws);
  return {};
}

SessionInfo SessionImpl::info() const {
  SessionInfo info;
  info.cp = cp_;
  info.capacity = engine_->options().context;
  for (const Message& message : transcript_) info.turns += message.role == "user" ? 1 : 0;
  const bool empty = transcript_.empty() && info.cp == 0;
  const bool pending = !transcript_.empty() &&
                       (transcript_.back().role == "user" || transcript_.back().role == "tool");
  info.phase = empty ? Phase::kNew : pending ? Phase::kPending : Phase::kRunning;
  info.opaque_prefix = !opaque_prefix_.empty();
  info.id = id_;
  info.parent = parent_;
  return info;
}

Result<std::vector<TokenId>> SessionImpl::PromptTokens() const {
  if (transcript_.empty() || transcript_.back().role == "assistant") {
    return Status::InvalidArgument("nothing to answer: the last message is not the user's");
  }
  if (!opaque_prefix_.empty()) return OpaqueTokens();
  GYRATOR_ASSIGN_OR_RETURN(const TextModelImpl* text, engine_->text());
  GYRATOR_ASSIGN_OR_RETURN(const std::string prompt, text->Render(transcript_, {}));
  return text->Encode(prompt, false);
}

// The history is known as tokens only. The part of the template that belongs to the messages since
// is what a render with a placeholder turn before them adds to a render of the placeholder alone.
Result<std::vector<TokenId>> SessionImpl::OpaqueTokens() const {
  GYRATOR_ASSIGN_OR_RETURN(const TextModelImpl* text, engine_->text());
  std::vector<Message> messages = {{.role = "user", .content = "a", .extras = {}},
                                   {.role = "assistant", .content = "b", .extras = {}}};
  GYRATOR_ASSIGN_OR_RETURN(
      const std::string before,
      text->Render(messages, {.add_generation_prompt = false, .tools = {}, .variables = {}}));
  messages.insert(messages.end(), transcript_.begin(), transcript_.end());
  GYRATOR_ASSIGN_OR_RETURN(const std::string after, text->Render(messages, {}));
  if (!after.starts_with(before)) {
    return Status::Unsupported(
        "opaque prefix: this chat template changes earlier turns, so a folder without a chat log "
        "cannot be continued with it");
  }
  std::vector<TokenId> tokens = opaque_prefix_;
  const std::vector<TokenId> added =
      text->Encode(std::string_view(after).substr(before.size()), false);
  tokens.insert(tokens.end(), added.begin(), added.end());
  return tokens;
}

std::vector<TokenId> SessionImpl::tokens() const {
  std::vector<TokenId> tokens;
  engine_->Call([&] { tokens = cache_.sequences().tokens(cache_.slot()).ToVector(); });
  return tokens;
}

Result<Reply> SessionImpl::Settle(Request* request, bool responds) {
  cp_ = request->cp;
  for (TokenRange& range : ranges_) {  // messages stand where they stood, however K and V came back
    if (range.end > request->kept) range = {};
  }
  if (!request->status.ok()) return std::move(request->status);
  Reply& reply = request->reply;
  const bool said = !reply.tokens.empty() || reply.stop == StopReason::kEndOfGeneration ||
                    reply.stop == StopReason::kLength;
  if (responds && said) AppendReply(reply.text, request->prompt_length);
  return std::move(reply);
}

void SessionImpl::AppendReply(std::string text, int32_t prompt_length) {
  auto begin = static_cast<int32_t>(opaque_prefix_.size());
  for (const TokenRange& range : ranges_) begin = std::max(begin, range.end);
  for (TokenRange& range : ranges_) {
    if (range.begin < 0) range = {std::min(begin, prompt_length), prompt_length};
    begin = range.end;
  }
  transcript_.push_back({.role = "assistant", .content = std::move(text), .extras = {}});
  ranges_.push_back({prompt_length, cp_});
}

RestoredState SessionImpl::CopyState() const {
  return {.transcript = transcript_,
          .ranges = ranges_,
          .last_logits = cache_.shared_logits(),
          .sampler = sampler_.options(),
          .draws = sampler_.draws(),
          .id = NewSessionId(),
          .parent = parent_,
          .opaque_prefix = opaque_prefix_,
          .foreign = foreign_};
}

Status SessionImpl::Hold() {
  bool parked = false;
  engine_->Call([&] {
    parked = cache_.sequences().IsParked(cache_.slot());
    if (!parked) cache_.sequences().SetBusy(cache_.slot(), true);
  });
  if (!parked) return {};
  const GenerateOptions options = {.tokens_max = 0};
  Work work{.session = this, .tokens = tokens(), .options = &options, .holds = true};
  return engine_->Serve({&work, 1})[0].status();
}

void SessionImpl::Release() {
  engine_->Call([&] { cache_.sequences().SetBusy(cache_.slot(), false); });
}

Result<std::unique_ptr<Session>> SessionImpl::Fork(const ForkOptions& options) {
  GYRATOR_RETURN_IF_ERROR(Hold());
  Result<SlotId> child = SlotId{0};
  engine_->Call([&] { child = cache_.sequences().Fork(cache_.slot()); });
  Release();
  GYRATOR_RETURN_IF_ERROR(child.status());
  std::unique_ptr<Session> fork(
      new SessionImpl(engine_, SessionSlot(engine_, *child), CopyState(), cp_));
  if (options.seed) {
    SamplerOptions sampler = sampler_.options();
    sampler.seed = *options.seed;
    GYRATOR_RETURN_IF_ERROR(fork->SetSampler(sampler));
  }
  return fork;
}

Result<SaveReport> SessionImpl::Save(const SaveOptions& options) {
  GYRATOR_RETURN_IF_ERROR(Hold());
  Result<SaveReport> saved = SaveHeld(options);
  Release();
  return saved;
}

Result<SaveReport> SessionImpl::SaveHeld(const SaveOptions& options) {
  std::vector<TokenId> tokens;
  std::vector<uint32_t> blocks;  // busy: they stay, and nobody writes to them
  engine_->Call([&] {
    tokens = cache_.sequence().tokens().ToVector();
    blocks.assign(cache_.sequence().blocks().begin(), cache_.sequence().blocks().end());
  });
  GYRATOR_ASSIGN_OR_RETURN(const KeyValues identity,
                           LiveIdentity(engine_->model_impl(), engine_->options().context));
  GYRATOR_ASSIGN_OR_RETURN(const std::string chat, ChatText(transcript_, ranges_));
  std::vector<Position> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const SessionInfo now = info();
  KeyValues keys;
  keys.Set("id", id_);
  keys.Set("parent", parent_.empty() ? "none" : parent_);
  keys.SetInt("turn", now.turns);
  keys.Set("phase", PhaseName(now.phase));
  keys.SetInt("opaque_prefix", static_cast<int64_t>(opaque_prefix_.size()));
  WriteSampler(sampler_.options(), sampler_.draws(), &keys);
  const SnapshotSource source{.tokens = tokens,
                              .positions = positions,
                              .kv = engine_->kv(),
                              .blocks = {blocks.data(), static_cast<int32_t>(blocks.size())},
                              .chat = chat,
                              .logits = cache_.logits(),
                              .identity = &identity,
                              .session = &keys,
                              .foreign = &foreign_};
  GYRATOR_ASSIGN_OR_RETURN(const WrittenSnapshot written, WriteNamed(source, options));
  parent_ = written.root_digest;
  return ToReport(written);
}

}  // namespace gyrator

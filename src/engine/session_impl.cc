#include "engine/session_impl.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/engine_impl.h"
#include "engine/messages.h"
#include "engine/named_save.h"

namespace gyrator {

SessionImpl::SessionImpl(EngineImpl* engine, OwnedSlot slot, RestoredState state)
    : engine_(engine),
      slot_(std::move(slot)),
      last_logits_(state.last_logits != nullptr ? std::move(state.last_logits)
                                                : std::make_shared<std::vector<float>>()),
      sampler_(std::move(state.sampler), state.draws),
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
  info.cp = sequences().tokens(slot()).size();
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

Result<Reused> SessionImpl::Sync(std::span<const TokenId> tokens, bool reuse) {
  const auto length = static_cast<int32_t>(tokens.size());
  if (length > engine_->options().context) {
    return Status::Exhausted(
               "capacity: a prompt of " + std::to_string(length) + " tokens (cp " +
               std::to_string(sequences().tokens(slot()).size()) + ") does not fit a context of " +
               std::to_string(engine_->options().context) + " tokens; use a larger one (-c)")
        .Named("capacity");
  }
  const int32_t before = sequences().tokens(slot()).size();
  const int32_t same = sequences().tokens(slot()).CommonPrefix(tokens);
  if (Status status = sequences().Resume(slot()); !status.ok()) {
    if (sequences().tokens(slot()).size() < before) ForgetLogits();  // it could not be read again
    return status;
  }
  Reused reused;
  if (reuse) {
    reused = sequences().Sync(slot(), tokens);
  } else {
    sequences().Truncate(slot(), 0);
  }
  const bool logits_fit = reused.own == length && before == length && !last_logits_->empty();
  if (reused.own == length && !logits_fit) {  // its last row is decoded again
    sequences().Truncate(slot(), --reused.own);
  }
  if (reused.own < before || reused.cached > 0) ForgetLogits();
  for (TokenRange& range : ranges_) {  // messages stand where they stood, however K and V came back
    if (range.end > same) range = {};
  }
  GYRATOR_RETURN_IF_ERROR(sequences().Reserve(slot(), length - sequence().cp()));
  return reused;
}

void SessionImpl::ForgetLogits() {
  if (last_logits_.use_count() > 1) last_logits_ = std::make_shared<std::vector<float>>();
  last_logits_->clear();
}

void SessionImpl::Commit(std::span<const TokenId> tokens, std::span<const float> logits) {
  sequences().Commit(slot(), tokens);
  ForgetLogits();
  last_logits_->assign(logits.begin(), logits.end());
}

void SessionImpl::AppendReply(std::string text, int32_t prompt_length) {
  auto begin = static_cast<int32_t>(opaque_prefix_.size());
  for (const TokenRange& range : ranges_) begin = std::max(begin, range.end);
  for (TokenRange& range : ranges_) {
    if (range.begin < 0) range = {std::min(begin, prompt_length), prompt_length};
    begin = range.end;
  }
  transcript_.push_back({.role = "assistant", .content = std::move(text), .extras = {}});
  ranges_.push_back({prompt_length, sequence().cp()});
}

RestoredState SessionImpl::CopyState() const {
  return {.transcript = transcript_,
          .ranges = ranges_,
          .last_logits = last_logits_,
          .sampler = sampler_.options(),
          .draws = sampler_.draws(),
          .id = NewSessionId(),
          .parent = parent_,
          .opaque_prefix = opaque_prefix_,
          .foreign = foreign_};
}

Result<std::unique_ptr<Session>> SessionImpl::Fork(const ForkOptions& options) {
  GYRATOR_RETURN_IF_ERROR(MakeResident());
  GYRATOR_ASSIGN_OR_RETURN(const SlotId child, sequences().Fork(slot()));
  std::unique_ptr<Session> fork(
      new SessionImpl(engine_, OwnedSlot(&sequences(), child), CopyState()));
  if (options.seed) {
    SamplerOptions sampler = sampler_.options();
    sampler.seed = *options.seed;
    GYRATOR_RETURN_IF_ERROR(fork->SetSampler(sampler));
  }
  return fork;
}

Status SessionImpl::MakeResident() {
  if (!sequences().IsParked(slot())) return {};
  return Complete(tokens(), {.tokens_max = 0}).status();
}

Result<SaveReport> SessionImpl::Save(const SaveOptions& options) {
  GYRATOR_RETURN_IF_ERROR(MakeResident());
  const std::vector<TokenId> tokens = this->tokens();
  const int32_t cp = sequence().cp();
  GYRATOR_ASSIGN_OR_RETURN(const KeyValues identity,
                           LiveIdentity(engine_->model_impl(), sequence().capacity()));
  GYRATOR_ASSIGN_OR_RETURN(const std::string chat, ChatText(transcript_, ranges_));
  std::vector<Position> positions(static_cast<size_t>(cp));
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
                              .blocks = sequence().table(),
                              .chat = chat,
                              .logits = *last_logits_,
                              .identity = &identity,
                              .session = &keys,
                              .foreign = &foreign_};
  GYRATOR_ASSIGN_OR_RETURN(const WrittenSnapshot written, WriteNamed(source, options));
  parent_ = written.root_digest;
  return ToReport(written);
}

}  // namespace gyrator

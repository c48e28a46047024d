#include "engine/session_impl.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "engine/engine_impl.h"
#include "engine/messages.h"
#include "engine/named_save.h"

namespace gyrator {

// Releases the session's blocks at its end, whether or not Hold came so far.
class SessionImpl::Held {
 public:
  explicit Held(SessionImpl* session) : session_(session) {}
  ~Held() { session_->Release(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  SessionImpl* const session_;
};

SessionImpl::SessionImpl(EngineImpl* engine, SessionSlot slot, RestoredState state)
    : engine_(engine),
      slot_(std::move(slot)),
      cache_(&engine->loop().sequences(), slot_.id(), state.view.logits),
      sampler_(std::move(state.sampler), state.draws),
      live_window_(state.view.window),
      window_options_(state.window_options),
      view_(std::move(state.view)),
      transcript_(std::move(state.transcript)),
      ranges_(std::move(state.ranges)),
      draws_at_(std::move(state.draws_at)),
      id_(std::move(state.id)),
      parent_(std::move(state.parent)),
      opaque_prefix_(std::move(state.opaque_prefix)),
      keys_(std::move(state.keys)),
      foreign_(std::move(state.foreign)),
      edited_from_(state.edited_from),
      dropped_from_(state.dropped_from) {
  draws_at_.resize(transcript_.size());
}

SessionImpl::~SessionImpl() {
  GYRATOR_CHECK(!in_use() && "a session is destroyed while it runs a request of its own");
}

Result<SessionClaim> SessionImpl::Claim(std::string_view what) const {
  if (!in_use_.exchange(true, std::memory_order_acquire)) return SessionClaim(&in_use_);
  return Status::InvalidArgument(
             std::string(what) +
             ": the session is running a request (or another thread uses it); other sessions are "
             "free, and this one is when its call has returned")
      .Named("busy");
}

SessionView SessionImpl::TakeView() const {
  return {.tokens = cache_.sequences().tokens(slot_.id()).ToVector(),
          .window = live_window_,
          .logits = cache_.shared_logits()};
}

void SessionImpl::MakePlaceFor(size_t messages) {
  const size_t wanted = transcript_.size() + messages;
  if (wanted <= transcript_.capacity() && wanted <= ranges_.capacity() &&
      wanted <= draws_at_.capacity()) {
    return;
  }
  const size_t grown = std::max(wanted, 2 * transcript_.size());  // so that appending stays linear
  transcript_.reserve(grown);
  ranges_.reserve(grown);
  draws_at_.reserve(grown);
}

void SessionImpl::AddMessage(Message message, TokenRange range, uint64_t draws) {
  MakePlaceFor(1);
  transcript_.push_back(std::move(message));
  ranges_.push_back(range);
  draws_at_.push_back(draws);
}

void SessionImpl::KeepMessages(size_t count) {
  if (count == transcript_.size()) return;
  sampler_ = Sampler(sampler_.options(), draws_at_[count]);
  edited_from_ = std::min(edited_from_, count);
  const int32_t needed = TokensOfMessages(count);
  dropped_from_ = std::min(dropped_from_.value_or(needed), needed);
  transcript_.resize(count);
  ranges_.resize(count);
  draws_at_.resize(count);
}

Status SessionImpl::Append(Message message) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("append"));
  GYRATOR_RETURN_IF_ERROR(CheckMessage(message));
  AddMessage(std::move(message), {}, sampler_.draws());
  return {};
}

Status SessionImpl::Rewind(size_t count) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("rewind"));
  if (count > transcript_.size()) {
    return Status::InvalidArgument("rewind: 0 to " + std::to_string(transcript_.size()) +
                                   " messages expected, found " + std::to_string(count));
  }
  KeepMessages(count);
  return {};
}

int32_t SessionImpl::TokensOfMessages(size_t count) const {
  auto end = static_cast<int32_t>(opaque_prefix_.size());
  for (size_t i = 0; i < count; ++i) end = std::max(end, ranges_[i].end);
  return end;
}

Status SessionImpl::Edit(size_t index, std::string content) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("edit"));
  if (index >= transcript_.size()) {
    return Status::InvalidArgument("edit: a message of " + std::to_string(transcript_.size()) +
                                   " expected, found number " + std::to_string(index));
  }
  Message message = transcript_[index];
  message.content = std::move(content);
  GYRATOR_RETURN_IF_ERROR(CheckMessage(message));
  KeepMessages(index);
  AddMessage(std::move(message), {}, sampler_.draws());
  return {};
}

Status SessionImpl::SetTranscript(std::vector<Message> messages) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("set transcript"));
  for (const Message& message : messages) GYRATOR_RETURN_IF_ERROR(CheckMessage(message));
  const auto same =
      std::mismatch(messages.begin(), messages.end(), transcript_.begin(), transcript_.end())
          .first -
      messages.begin();
  MakePlaceFor(messages.size());
  KeepMessages(static_cast<size_t>(same));
  for (auto message = messages.begin() + same; message != messages.end(); ++message) {
    AddMessage(std::move(*message), {}, sampler_.draws());
  }
  return {};
}

Result<Reply> SessionImpl::Respond(const GenerateOptions& options) {
  BatchRequest request{.session = this, .prefix = {}, .options = options};
  return std::move(engine_->Run({&request, 1})[0]);
}

Status SessionImpl::Check() const {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("check"));
  GYRATOR_ASSIGN_OR_RETURN(const Prompt prompt, MakePrompt());
  GYRATOR_RETURN_IF_ERROR(engine_->loop().CheckTokens(prompt.tokens));
  Status status;
  GYRATOR_RETURN_IF_ERROR(engine_->CheckProcess());
  engine_->Call([&] { status = engine_->loop().CheckRoom(*this, prompt); });
  return status;
}

Result<Reply> SessionImpl::Prepare(const GenerateOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("prepare"));
  GenerateOptions none = options;
  none.tokens_max = 0;
  Work work{.session = this, .kind = Work::Kind::kPrepare, .tokens = {}, .options = &none};
  return std::move(engine_->Serve({&work, 1})[0]);
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
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("set sampler"));
  GYRATOR_RETURN_IF_ERROR(CheckSampler(options));
  // Another seed is another stream; the same one goes on where it stands.
  const uint64_t draws = options.seed == sampler_.options().seed ? sampler_.draws() : 0;
  sampler_ = Sampler(options, draws);
  return {};
}

Result<int32_t> SessionImpl::MakeRoom(int32_t count) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("make room"));
  if (count <= 0 || view_.tokens.empty()) return 0;
  const GenerateOptions options = {.tokens_max = 0};
  Work work{.session = this,
            .kind = Work::Kind::kMakeRoom,
            .tokens = all_tokens(),
            .options = &options,
            .room = count};
  GYRATOR_ASSIGN_OR_RETURN(work.layout, PresentLayout());
  GYRATOR_ASSIGN_OR_RETURN(const Reply reply, std::move(engine_->Serve({&work, 1})[0]));
  return reply.tokens_evicted;
}

Result<PromptLayout> SessionImpl::PresentLayout() const {
  if (transcript_.empty() || !opaque_prefix_.empty()) return PromptLayout();
  GYRATOR_ASSIGN_OR_RETURN(const TextModelImpl* text, engine_->text());
  RenderOptions rendering = Rendering();
  rendering.add_generation_prompt = transcript_.back().role != "assistant";
  GYRATOR_ASSIGN_OR_RETURN(const std::string rendered, text->Render(transcript_, rendering));
  return FindTurns(*text, {transcript_, rendering, rendered}, all_tokens());
}

Result<std::vector<size_t>> SessionImpl::EvictedMessages() const {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("evicted messages"));
  std::vector<size_t> evicted;
  const Window& window = *view_.window;
  if (window.empty()) return evicted;
  GYRATOR_ASSIGN_OR_RETURN(const PromptLayout layout, PresentLayout());
  size_t user = 0;
  bool gone = false;  // a user's message that was not found goes with those before it
  for (size_t i = 0; i < transcript_.size(); ++i) {
    if (transcript_[i].role == "user" && user < layout.turn_of_user.size()) {
      const int32_t turn = layout.turn_of_user[user++];
      const auto next = std::upper_bound(layout.turns.begin(), layout.turns.end(), turn);
      if (turn >= 0) {
        gone = next != layout.turns.end() && window.FromAll(turn) == window.FromAll(*next);
      }
    }
    const bool call_gone =
        std::any_of(layout.calls.begin(), layout.calls.end(), [&](const ToolCall& call) {
          return i - call.first_message < call.num_messages &&  // wraps for those before it
                 window.FromAll(call.span.begin) == window.FromAll(call.span.end);
        });
    if (gone || call_gone) evicted.push_back(i);
  }
  return evicted;
}

Status SessionImpl::SetWindow(const WindowOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("set window"));
  GYRATOR_RETURN_IF_ERROR(CheckWindow(options, engine_->options()));
  if (!evicted().empty() && options.mode != window_options_.mode) {
    return Status::InvalidArgument("evict mode: it stays as it is once tokens were evicted");
  }
  window_options_ = options;
  return {};
}

SessionInfo SessionImpl::info() const {
  SessionInfo info;
  info.cp = static_cast<int32_t>(view_.tokens.size());
  info.evicted = evicted().num_evicted();
  info.evictions = evicted().num_evictions();
  info.capacity = engine_->options().context;
  for (const Message& message : transcript_) info.turns += message.role == "user" ? 1 : 0;
  const bool empty = transcript_.empty() && info.cp == 0;
  const bool pending = !transcript_.empty() &&
                       (transcript_.back().role == "user" || transcript_.back().role == "tool");
  info.phase = empty ? Phase::kNew : pending ? Phase::kPending : Phase::kRunning;
  info.windows_rebuilt = counts_.windows_rebuilt;
  info.tokens_reused = counts_.reused;
  info.tokens_shared = counts_.shared;
  info.tokens_decoded = counts_.decoded;
  info.tokens_generated = counts_.generated;
  info.opaque_prefix = !opaque_prefix_.empty();
  info.id = id_;
  info.parent = parent_;
  return info;
}

Result<Prompt> SessionImpl::MakePrompt() const {
  if (transcript_.empty() || transcript_.back().role == "assistant") {
    return Status::InvalidArgument("nothing to answer: the last message is not the user's");
  }
  Prompt prompt;
  if (!opaque_prefix_.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(prompt.tokens, OpaqueTokens());
    return prompt;
  }
  GYRATOR_ASSIGN_OR_RETURN(const TextModelImpl* text, engine_->text());
  GYRATOR_ASSIGN_OR_RETURN(std::string rendered, text->Render(transcript_, Rendering()));
  const std::vector<TokenId> all = all_tokens();
  std::vector<TokenRange> replies;
  for (size_t i = 0; i < transcript_.size(); ++i) {
    if (transcript_[i].role == "assistant" && ranges_[i].begin >= 0) replies.push_back(ranges_[i]);
  }
  prompt.tokens = EncodeAs(*text, rendered, {.tokens = all, .ranges = replies});
  if (prompt.tokens.empty()) {
    return Status::InvalidArgument(
        "nothing to answer: the template renders these messages to no text");
  }
  if (window_options_.overflow != Overflow::kError) {
    const RenderOptions options = Rendering();
    GYRATOR_ASSIGN_OR_RETURN(prompt.layout,
                             FindTurns(*text, {transcript_, options, rendered}, prompt.tokens));
  }
  prompt.rendered = std::move(rendered);
  return prompt;
}

RenderOptions SessionImpl::Rendering() const {
  return {.add_generation_prompt = true, .tools = {}, .variables = keys_.template_variables};
}

// The history is known as tokens only. The part of the template that belongs to the messages since
// is what a render with a placeholder turn before them adds to a render of the placeholder alone.
Result<std::vector<TokenId>> SessionImpl::OpaqueTokens() const {
  GYRATOR_ASSIGN_OR_RETURN(const TextModelImpl* text, engine_->text());
  std::vector<Message> messages = {{.role = "user", .content = "a", .extras = {}},
                                   {.role = "assistant", .content = "b", .extras = {}}};
  GYRATOR_ASSIGN_OR_RETURN(const std::string before,
                           text->Render(messages, {.add_generation_prompt = false,
                                                   .tools = {},
                                                   .variables = keys_.template_variables}));
  messages.insert(messages.end(), transcript_.begin(), transcript_.end());
  GYRATOR_ASSIGN_OR_RETURN(const std::string after, text->Render(messages, Rendering()));
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

Asked SessionImpl::AskedNow(WorkKind kind, int32_t prompt_length) const {
  return {
      .all = all_tokens(), .prompt_length = prompt_length, .draws = sampler_.draws(), .kind = kind};
}

void SessionImpl::KeepRangesUpTo(int64_t end) noexcept {
  for (TokenRange& range : ranges_) {
    if (range.end > end) range = {};
  }
}

// A request that was stopped while it decoded its window again has less than it was asked with: of
// what lies behind an evicted token nothing is known then.
int64_t SessionImpl::EndOfRanges() const {
  const auto length = static_cast<int32_t>(view_.tokens.size());
  if (!evicted().Fits(length)) return evicted().exact(length);
  return int64_t{length} + evicted().num_evicted();
}

void SessionImpl::Settle(Request* request, const Asked& asked) noexcept {
  view_ = std::move(request->left);
  const int64_t kept = evicted().CommonPrefix(asked.all, view_.tokens);
  if (asked.kind == WorkKind::kComplete) {
    const auto changed = std::find_if(ranges_.begin(), ranges_.end(),
                                      [kept](const TokenRange& range) { return range.end > kept; });
    edited_from_ = std::min(edited_from_, static_cast<size_t>(changed - ranges_.begin()));
  }
  KeepRangesUpTo(std::min(kept, EndOfRanges()));
  // Whatever went before, the tokens are a beginning of those that were asked for. To make room
  // asks for all that is there, dropped or not.
  const bool held = asked.kind == WorkKind::kHold && request->status.ok();
  const bool entered = request->entered && asked.kind != WorkKind::kMakeRoom;
  if (entered || held) dropped_from_.reset();
  const Reply& reply = request->reply;
  counts_.windows_rebuilt += reply.window_rebuilt ? 1 : 0;
  if (asked.kind == WorkKind::kHold) return;
  counts_.reused += static_cast<uint64_t>(reply.tokens_reused);
  counts_.shared += static_cast<uint64_t>(reply.tokens_shared);
  counts_.decoded += static_cast<uint64_t>(reply.tokens_decoded);
  counts_.generated += reply.tokens.size();
}

Result<Reply> SessionImpl::Conclude(Request* request, const Asked& asked) {
  if (!request->status.ok()) return std::move(request->status);
  const Reply& reply = request->reply;
  const bool responds = asked.kind == WorkKind::kRespond;
  const bool said = !reply.tokens.empty() || reply.stop == StopReason::kEndOfGeneration ||
                    reply.stop == StopReason::kLength;
  if (responds && said) AppendReply(reply.text, asked);
  const bool renders = responds || asked.kind == WorkKind::kPrepare;
  if (renders && request->entered) edited_from_ = kNoMessage;
  return std::move(request->reply);
}

void SessionImpl::AppendReply(std::string text, const Asked& asked) {
  MakePlaceFor(1);
  KeepRangesUpTo(asked.prompt_length);
  // Messages behind the last whose place is known lie between it and the reply.
  const auto known = std::find_if(ranges_.rbegin(), ranges_.rend(),
                                  [](const TokenRange& range) { return range.begin >= 0; });
  auto begin = static_cast<int32_t>(opaque_prefix_.size());
  if (known != ranges_.rend()) begin = std::max(begin, known->end);
  for (auto range = known.base(); range != ranges_.end(); ++range) {
    *range = {std::min(begin, asked.prompt_length), asked.prompt_length};
    begin = range->end;
  }
  const int32_t end = static_cast<int32_t>(view_.tokens.size()) + evicted().num_evicted();
  AddMessage({.role = "assistant", .content = std::move(text), .extras = {}},
             asked.prompt_length <= end ? TokenRange{asked.prompt_length, end} : TokenRange(),
             asked.draws);
  KeepRangesUpTo(EndOfRanges());
}

RestoredState SessionImpl::CopyState() const {
  return {.transcript = transcript_,
          .ranges = ranges_,
          .draws_at = draws_at_,
          .sampler = sampler_.options(),
          .draws = sampler_.draws(),
          .view = view_,
          .window_options = window_options_,
          .id = NewSessionId(),
          .parent = parent_,
          .opaque_prefix = opaque_prefix_,
          .keys = keys_,
          .foreign = foreign_,
          .edited_from = edited_from_,
          .dropped_from = dropped_from_};
}

Status SessionImpl::Hold() {
  const int64_t total = std::ssize(view_.tokens) + evicted().num_evicted();
  const int64_t kept = std::min<int64_t>(dropped_from_.value_or(total), total);
  const bool stays = kept == total && evicted().Fits(std::ssize(view_.tokens));
  bool resident = false;
  engine_->Call([&] {
    resident = stays && !cache_.sequences().IsParked(cache_.slot());
    if (resident) engine_->loop().Hold(cache_.slot());
  });
  if (resident) return {};
  const GenerateOptions options = {.tokens_max = 0};
  Work work{
      .session = this, .kind = Work::Kind::kHold, .tokens = HeldTokens(kept), .options = &options};
  return engine_->Serve({&work, 1})[0].status();
}

std::vector<TokenId> SessionImpl::all_tokens() const {
  const auto length = static_cast<int32_t>(view_.tokens.size());
  if (evicted().Fits(length)) return evicted().All(view_.tokens);
  return {view_.tokens.begin(), view_.tokens.begin() + evicted().exact(length)};
}

std::vector<TokenId> SessionImpl::HeldTokens(int64_t kept) const {
  std::vector<TokenId> tokens = all_tokens();
  const Window& window = evicted();
  const bool fits = window.Fits(std::ssize(view_.tokens));
  const int64_t least =  // of all tokens, that the window reaches over
      window.empty() ? 0 : int64_t{window.gone().back().at} + window.num_evicted();
  const bool reaches = fits && kept >= least;
  const int64_t exact = window.exact(static_cast<int32_t>(view_.tokens.size()));
  tokens.resize(static_cast<size_t>(reaches ? kept : std::min(exact, kept)));
  return tokens;
}

void SessionImpl::Release() {
  engine_->Call([&] { engine_->loop().Release(cache_.slot()); });
}

Result<std::unique_ptr<Session>> SessionImpl::Fork(const ForkOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("fork"));
  const Held held(this);
  GYRATOR_RETURN_IF_ERROR(Hold());
  Result<SlotId> child = SlotId{0};
  engine_->Call([&] { child = cache_.sequences().Fork(cache_.slot()); });
  GYRATOR_RETURN_IF_ERROR(child.status());
  SessionSlot slot(engine_, *child);
  std::unique_ptr<Session> fork(new SessionImpl(engine_, std::move(slot), CopyState()));
  if (options.messages) GYRATOR_RETURN_IF_ERROR(fork->Rewind(*options.messages));
  if (options.seed) {
    SamplerOptions sampler = sampler_.options();
    sampler.seed = *options.seed;
    GYRATOR_RETURN_IF_ERROR(fork->SetSampler(sampler));
  }
  return fork;
}

Result<SaveReport> SessionImpl::Save(const SaveOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("save"));
  const Held held(this);
  GYRATOR_RETURN_IF_ERROR(Hold());
  return SaveHeld(options);
}

Result<SaveReport> SessionImpl::SaveHeld(const SaveOptions& options) {
  std::vector<uint32_t> blocks;  // busy: they stay, and nobody writes to them
  engine_->Call([&] {
    const std::span<const uint32_t> held = cache_.sequence().blocks();
    blocks.assign(held.begin(), held.end());
  });
  GYRATOR_ASSIGN_OR_RETURN(const KeyValues identity,
                           LiveIdentity(engine_->model_impl(), engine_->options().context));
  GYRATOR_ASSIGN_OR_RETURN(const std::string chat, ChatText(transcript_, ranges_));
  std::vector<Position> positions(view_.tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const SessionInfo now = info();
  KeyValues keys;
  keys.Set("id", id_);
  keys.Set("parent", parent_.empty() ? "none" : parent_);
  keys.SetInt("turn", now.turns);
  keys.Set("phase", PhaseName(now.phase));
  // As far as the tokens still begin with it.
  keys.SetInt("opaque_prefix", evicted().CommonPrefix(opaque_prefix_, view_.tokens));
  WriteSampler(sampler_.options(), sampler_.draws(), &keys);
  keys.Set("rng.draws_at", DrawsText(draws_at_));
  WriteSessionKeys(keys_, &keys);
  const std::string window = TextOfWindow(evicted(), window_options_);
  const SnapshotSource source{.tokens = view_.tokens,
                              .positions = positions,
                              .kv = engine_->kv(),
                              .blocks = {blocks.data(), static_cast<int32_t>(blocks.size())},
                              .chat = chat,
                              .window = window,
                              .logits = *view_.logits,
                              .identity = &identity,
                              .session = &keys,
                              .foreign = &foreign_};
  GYRATOR_ASSIGN_OR_RETURN(const WrittenSnapshot written, WriteNamed(source, options));
  parent_ = written.root_digest;
  return ToReport(written);
}

}  // namespace gyrator

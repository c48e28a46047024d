#include "gyrator/context_manager.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "engine/engine_impl.h"
#include "engine/manager_rows.h"

namespace gyrator {

namespace {

struct NamedHook {
  HookId id = 0;
  HookScope scope = HookScope::kManager;
  Hook hook;
};

Status FromHook(std::string_view name, HookId id, const Status& status) {
  Status named = status;
  return std::move(named).Annotate("hook " + std::string(name) + " " + std::to_string(id));
}

// The reply of a request whose prompt was prepared by one before it: what both did.
Reply Together(const Reply& prepared, Reply reply) {
  reply.tokens_reused += prepared.tokens_reused;
  reply.tokens_shared += prepared.tokens_shared;
  reply.tokens_decoded += prepared.tokens_decoded;
  reply.tokens_evicted += prepared.tokens_evicted;
  reply.window_rebuilt |= prepared.window_rebuilt;
  reply.wait_ms += prepared.wait_ms;
  reply.prompt_ms += prepared.prompt_ms;
  return reply;
}

class Manager final : public ContextManager {
 public:
  Manager(EngineImpl* engine, const ContextManagerOptions& options)
      : engine_(engine), options_(options) {}
  ~Manager() override { rows_->Close(); }

  HookId SetHook(Hook hook, HookScope scope) override;
  Status ClearHook(HookId id) override;
  Result<int32_t> SetSystem(const std::string& text) override;
  std::string PrefixText() const override;
  bool HasPrefix() const override { return PrefixTokens() > 0; }
  int32_t PrefixTokens() const override;
  Result<int32_t> Prepare(Conversation& conversation) override;
  Result<Reply> Respond(Conversation& conversation, const GenerateOptions& options) override;
  std::vector<Result<Reply>> RespondAll(std::span<Conversation* const> conversations,
                                        const GenerateOptions& options) override;
  Result<int32_t> MakeRoom(Conversation& conversation, int32_t n) override;
  void Release(Conversation& conversation) override;
  Result<Conversation> Fork(Conversation& conversation) override;
  ContextManagerStats Stats() const override;
  void ClearRadix() override;

 private:
  // A row that holds its prompt, and what that took.
  struct Prepared {
    RowUse row;
    Reply reply;
  };

  Result<Prepared> PrepareRow(Conversation& conversation);
  Result<Reply> PrepareSession(Row* row, const Conversation& conversation,
                               std::vector<Message> shown);
  // The conversation's row, which it gets if it has none here. kInvalidArgument "busy".
  Result<RowUse> FindOrMake(Conversation& conversation);
  std::optional<std::string> SystemOf(const Conversation& conversation) const;
  // The hooks of one kind, in their order.
  template <class Kind>
  std::vector<std::pair<HookId, Kind>> HooksOf() const;
  // Calls run(kind) for each hook of a kind. The error of one, or of one that released or changed
  // its own conversation, ends it; the error names the hook.
  template <class Kind, class Run>
  Status ForEachHook(std::string_view name, const Row& row, const Conversation& conversation,
                     const Run& run) const;
  Result<std::vector<Message>> Encoded(Row* row, const Conversation& conversation) const;
  Result<int32_t> Sinks(const Row& row, const Conversation& conversation) const;
  // Counts what has left the row since it was counted last.
  void CountEvicted(Row* row);
  Status TellEvicted(Row* row, const Conversation& conversation);
  // The beginning of all prompts with this system prompt.
  Result<std::vector<TokenId>> SharedTokens(const std::string& system) const;
  std::string Variables() const { return options_.no_think ? R"({"enable_thinking":false})" : ""; }

  EngineImpl* const engine_;
  const ContextManagerOptions options_;
  const std::shared_ptr<RowTable> rows_ = std::make_shared<RowTable>();
  mutable std::mutex mutex_;  // guards all below; a row's content belongs to its conversation
  std::vector<NamedHook> hooks_;
  HookId last_hook_ = 0;
  std::string system_;
  std::vector<TokenId> prefix_;  // of prompts under system_
  ContextManagerStats counted_;
};

HookId Manager::SetHook(Hook hook, HookScope scope) {
  const std::lock_guard lock(mutex_);
  const auto place = std::find_if(hooks_.begin(), hooks_.end(),
                                  [&](const NamedHook& other) { return other.scope > scope; });
  hooks_.insert(place, {.id = ++last_hook_, .scope = scope, .hook = std::move(hook)});
  return last_hook_;
}

Status Manager::ClearHook(HookId id) {
  const std::lock_guard lock(mutex_);
  if (std::erase_if(hooks_, [&](const NamedHook& hook) { return hook.id == id; }) > 0) return {};
  return Status::NotFound("hook " + std::to_string(id) + ": not set");
}

template <class Kind>
std::vector<std::pair<HookId, Kind>> Manager::HooksOf() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<HookId, Kind>> hooks;
  for (const NamedHook& hook : hooks_) {
    if (const Kind* kind = std::get_if<Kind>(&hook.hook)) hooks.emplace_back(hook.id, *kind);
  }
  return hooks;
}

Result<std::vector<TokenId>> Manager::SharedTokens(const std::string& system) const {
  GYRATOR_ASSIGN_OR_RETURN(const TextModelImpl* text, engine_->text());
  std::vector<std::vector<TokenId>> tokens;
  for (const char* user : {"a", "b"}) {
    const Message messages[] = {{.role = "system", .content = system, .extras = {}},
                                {.role = "user", .content = user, .extras = {}}};
    RenderOptions rendering;
    rendering.variables = Variables();
    GYRATOR_ASSIGN_OR_RETURN(const std::string rendered, text->Render(messages, rendering));
    tokens.push_back(text->Encode(rendered, false));
  }
  const auto end =
      std::mismatch(tokens[0].begin(), tokens[0].end(), tokens[1].begin(), tokens[1].end()).first;
  tokens[0].erase(end, tokens[0].end());
  return tokens[0];
}

Result<int32_t> Manager::SetSystem(const std::string& text) {
  {
    const std::lock_guard lock(mutex_);
    if (text == system_) return static_cast<int32_t>(prefix_.size());
  }
  std::vector<TokenId> prefix;
  if (!text.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(prefix, SharedTokens(text));
  }
  std::vector<TokenId> old;
  {
    const std::lock_guard lock(mutex_);
    system_ = text;
    old = std::exchange(prefix_, prefix);
  }
  if (!old.empty()) {
    engine_->Call([&] { engine_->loop().DropCached(options_.cache_namespace, old); });
  }
  return static_cast<int32_t>(prefix.size());
}

std::string Manager::PrefixText() const {
  const std::lock_guard lock(mutex_);
  return system_;
}

int32_t Manager::PrefixTokens() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int32_t>(prefix_.size());
}

std::optional<std::string> Manager::SystemOf(const Conversation& conversation) const {
  if (conversation.system()) return conversation.system();
  const std::lock_guard lock(mutex_);
  return system_.empty() ? std::nullopt : std::optional(system_);
}

Result<RowUse> Manager::FindOrMake(Conversation& conversation) {
  if (auto row = rows_->Find(conversation)) return RowUse::Begin(std::move(row));
  SessionOptions options;
  options.sampler = options_.sampler;
  options.cache_namespace = options_.cache_namespace;
  options.template_variables = Variables();
  auto row = std::make_shared<Row>();
  GYRATOR_ASSIGN_OR_RETURN(row->session, engine_->NewSession(options));
  rows_->Give(row, &conversation);
  return RowUse::Begin(std::move(row));
}

template <class Kind, class Run>
Status Manager::ForEachHook(std::string_view name, const Row& row, const Conversation& conversation,
                            const Run& run) const {
  const uint64_t revision = conversation.revision();
  for (const auto& [id, hook] : HooksOf<Kind>()) {
    Status status = run(hook);
    if (status.ok() && row.released) {
      status = Status::InvalidArgument(
                   "conversation: it was released, or another was assigned to it, while this hook "
                   "prepared it")
                   .Named("released");
    } else if (status.ok() && conversation.revision() != revision) {
      status = Status::InvalidArgument(
          "conversation: its messages changed while this hook prepared it; let the hook give what "
          "the model is to be shown");
    }
    if (!status.ok()) return FromHook(name, id, status);
  }
  return {};
}

Result<std::vector<Message>> Manager::Encoded(Row* row, const Conversation& conversation) const {
  std::vector<Message> shown = ShownMessages(conversation.messages(), row);
  GYRATOR_RETURN_IF_ERROR(ForEachHook<BeforeEncode>(
      "before_encode", *row, conversation, [&](const BeforeEncode& hook) -> Status {
        GYRATOR_ASSIGN_OR_RETURN(auto other, hook.run(shown, conversation));
        if (other) shown = *std::move(other);
        return {};
      }));
  if (const auto system = SystemOf(conversation)) {
    shown.insert(shown.begin(), {.role = "system", .content = *system, .extras = {}});
  }
  return shown;
}

Result<int32_t> Manager::Sinks(const Row& row, const Conversation& conversation) const {
  int32_t sinks = options_.n_sink;
  GYRATOR_RETURN_IF_ERROR(
      ForEachHook<SinkCount>("sink_fn", row, conversation, [&](const SinkCount& hook) -> Status {
        GYRATOR_ASSIGN_OR_RETURN(const int32_t count, hook.run(conversation));
        if (count >= 0) sinks = std::min(count, engine_->options().context - 1);
        return {};
      }));
  return sinks;
}

Result<int32_t> Manager::Prepare(Conversation& conversation) {
  GYRATOR_RETURN_IF_ERROR(PrepareRow(conversation).status());
  return conversation.n_past();
}

Result<Manager::Prepared> Manager::PrepareRow(Conversation& conversation) {
  GYRATOR_ASSIGN_OR_RETURN(RowUse row, FindOrMake(conversation));
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Message> shown, Encoded(row.get(), conversation));
  GYRATOR_ASSIGN_OR_RETURN(const int32_t sinks, Sinks(*row.get(), conversation));
  Session& session = *row->session;
  GYRATOR_RETURN_IF_ERROR(session.SetWindow({.overflow = options_.eviction,
                                             .mode = options_.evict_mode,
                                             .sinks = sinks,
                                             .headroom = options_.headroom}));
  const auto system = SystemOf(conversation);
  const bool changed = session.info().cp > 0 && system != row->system;
  Result<Reply> prepared = PrepareSession(row.get(), conversation, std::move(shown));
  CountEvicted(row.get());
  GYRATOR_RETURN_IF_ERROR(prepared.status());
  row->system = system;
  {
    const std::lock_guard lock(mutex_);
    counted_.n_system_changes += changed ? 1 : 0;
    counted_.radix.hits += prepared->tokens_shared > 0 ? 1 : 0;
    counted_.radix.misses += prepared->tokens_shared == 0 && prepared->tokens_decoded > 0 ? 1 : 0;
  }
  GYRATOR_RETURN_IF_ERROR(TellEvicted(row.get(), conversation));
  const bool is_empty = conversation.messages().empty() && !SystemOf(conversation);
  conversation.MarkPrepared(is_empty ? 0 : session.info().cp);
  return Prepared{.row = std::move(row), .reply = *std::move(prepared)};
}

Result<Reply> Manager::PrepareSession(Row* row, const Conversation& conversation,
                                      std::vector<Message> shown) {
  if (!conversation.messages().empty()) {
    GYRATOR_RETURN_IF_ERROR(row->session->SetTranscript(std::move(shown)));
    return row->session->Prepare({});
  }
  GYRATOR_RETURN_IF_ERROR(row->session->SetTranscript({}));  // what it had is gone
  const auto system = SystemOf(conversation);
  if (!system) return Reply();
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<TokenId> prefix, SharedTokens(*system));
  // Tokens alone have no layout that tells a policy to keep them, and nothing else can go.
  GYRATOR_RETURN_IF_ERROR(
      row->session->SetWindow({.overflow = Overflow::kError, .mode = options_.evict_mode}));
  return row->session->Complete(prefix, {.tokens_max = 0});
}

void Manager::CountEvicted(Row* row) {
  const SessionInfo info = row->session->info();
  if (info.windows_rebuilt != row->windows_rebuilt) {
    row->windows_rebuilt = info.windows_rebuilt;
    row->tokens_counted = row->evictions_counted = row->tokens_told = 0;
    row->messages_told.clear();
  }
  const std::lock_guard lock(mutex_);
  counted_.n_evictions += static_cast<uint64_t>(info.evictions - row->evictions_counted);
  counted_.n_tokens_evicted += static_cast<uint64_t>(info.evicted - row->tokens_counted);
  row->evictions_counted = info.evictions;
  row->tokens_counted = info.evicted;
}

Status Manager::TellEvicted(Row* row, const Conversation& conversation) {
  const SessionInfo info = row->session->info();
  if (info.evicted == row->tokens_told) return {};
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<size_t> gone, row->session->EvictedMessages());
  EvictionReport report{
      .dropped = {}, .tokens = info.evicted - row->tokens_told, .policy = options_.eviction};
  for (size_t index : gone) {
    if (std::ranges::count(row->messages_told, index) > 0) continue;
    report.dropped.push_back(row->session->transcript()[index]);
  }
  std::optional<std::vector<Message>> splice;
  GYRATOR_RETURN_IF_ERROR(
      ForEachHook<OnEvict>("on_evict", *row, conversation, [&](const OnEvict& hook) -> Status {
        GYRATOR_ASSIGN_OR_RETURN(auto other, hook.run(report, conversation));
        if (other) splice = *std::move(other);
        return {};
      }));
  row->tokens_told = info.evicted;
  row->messages_told = gone;
  if (splice) HideTold(conversation.messages(), *std::move(splice), row);
  return {};
}

Result<Reply> Manager::Respond(Conversation& conversation, const GenerateOptions& options) {
  Conversation* const one[] = {&conversation};
  return std::move(RespondAll(one, options)[0]);
}

std::vector<Result<Reply>> Manager::RespondAll(std::span<Conversation* const> conversations,
                                               const GenerateOptions& options) {
  std::vector<Result<Reply>> replies(conversations.size(), Reply());
  std::vector<BatchRequest> batch;
  std::vector<size_t> asked;
  std::vector<Prepared> prepared;
  for (size_t i = 0; i < conversations.size(); ++i) {
    if (conversations[i] == nullptr) {
      replies[i] = Status::InvalidArgument("conversation: one expected, found none (null)");
      continue;
    }
    Result<Prepared> one = PrepareRow(*conversations[i]);
    if (!one.ok()) {
      replies[i] = one.status();
      continue;
    }
    batch.push_back({.session = one->row->session.get(), .options = options});
    asked.push_back(i);
    prepared.push_back(*std::move(one));
  }
  std::vector<Result<Reply>> done = engine_->Continue(batch);
  for (size_t i = 0; i < asked.size(); ++i) {
    Row* row = prepared[i].row.get();
    CountEvicted(row);
    // A callback may have released the conversation, or destroyed it.
    if (!row->released) conversations[asked[i]]->set_n_past(row->session->info().cp);
    replies[asked[i]] =
        done[i].ok() ? Together(prepared[i].reply, *std::move(done[i])) : std::move(done[i]);
  }
  return replies;
}

Result<int32_t> Manager::MakeRoom(Conversation& conversation, int32_t n) {
  std::shared_ptr<Row> found = rows_->Find(conversation);
  if (found == nullptr || n <= 0) return 0;
  GYRATOR_ASSIGN_OR_RETURN(const RowUse row, RowUse::Begin(std::move(found)));
  const Result<int32_t> freed = row->session->MakeRoom(n);
  CountEvicted(row.get());
  conversation.set_n_past(row->session->info().cp);
  return freed;
}

void Manager::Release(Conversation& conversation) {
  if (rows_->Find(conversation) == nullptr) return;
  conversation.set_row(nullptr);
  conversation.set_n_past(0);
}

Result<Conversation> Manager::Fork(Conversation& conversation) {
  Conversation child = conversation.Fork();
  std::shared_ptr<Row> found = rows_->Find(conversation);
  if (found == nullptr) return child;
  GYRATOR_ASSIGN_OR_RETURN(const RowUse row, RowUse::Begin(std::move(found)));
  auto copy = std::make_shared<Row>();
  GYRATOR_ASSIGN_OR_RETURN(copy->session, row->session->Fork({}));
  CountEvicted(row.get());  // one that was stopped at an eviction makes its window anew
  copy->hidden = row->hidden;
  copy->hidden_as = row->hidden_as;
  copy->head = row->head;
  copy->tokens_counted = row->tokens_counted;
  copy->evictions_counted = row->evictions_counted;
  copy->tokens_told = row->tokens_told;
  copy->messages_told = row->messages_told;
  copy->system = row->system;
  rows_->Give(std::move(copy), &child);
  return child;
}

ContextManagerStats Manager::Stats() const {
  const EngineStats engine = engine_->stats();
  const std::lock_guard lock(mutex_);
  ContextManagerStats stats = counted_;
  stats.slots_total = engine.slots_total;
  stats.slots_free = engine.slots_free;
  stats.prefix_tokens = static_cast<int32_t>(prefix_.size());
  stats.prefix_cached = !prefix_.empty();
  stats.n_sink = options_.n_sink;
  stats.eviction = options_.eviction;
  stats.radix.blobs_evicted = engine.blocks_evicted;
  stats.radix.n_blobs = engine.prefixes_cached;
  stats.radix.max_blobs = engine.blocks_total;
  return stats;
}

void Manager::ClearRadix() {
  engine_->Call([&] { engine_->loop().DropCached(options_.cache_namespace, {}); });
}

}  // namespace

Result<std::unique_ptr<ContextManager>> ContextManager::New(Engine* engine,
                                                            const ContextManagerOptions& options) {
  auto* own = dynamic_cast<EngineImpl*>(engine);
  if (own == nullptr) {
    return Status::InvalidArgument("engine: one expected, found none (null)");
  }
  GYRATOR_RETURN_IF_ERROR(CheckSampler(options.sampler));
  GYRATOR_RETURN_IF_ERROR(CheckWindow({.overflow = options.eviction,
                                       .mode = options.evict_mode,
                                       .sinks = options.n_sink,
                                       .headroom = options.headroom},
                                      engine->options()));
  return std::unique_ptr<ContextManager>(new Manager(own, options));
}

}  // namespace gyrator

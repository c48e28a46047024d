#include "gyrator/context_manager.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "engine/engine_impl.h"

namespace gyrator {

namespace {

// A conversation's place in the pool, and how the model is shown it: `head` stands for its first
// `first` messages, which were evicted.
struct Row {
  std::unique_ptr<Session> session;
  std::vector<Message> head;
  size_t first = 0;
  std::vector<Message> dropped;  // those first messages, as they were
  // Of the session's window as it is: evicted tokens and evictions that were counted; tokens, and
  // messages of its transcript, that the hooks were told of.
  int32_t window = 0;  // how many it has had before
  int32_t tokens_counted = 0;
  int32_t evictions_counted = 0;
  int32_t tokens_told = 0;
  std::vector<size_t> messages_told;
  std::optional<std::string> system;  // that it was prepared with
};

struct NamedHook {
  HookId id = 0;
  HookScope scope = HookScope::kManager;
  Hook hook;
};

Status FromHook(std::string_view name, HookId id, const Status& status) {
  Status named = status;
  return std::move(named).Annotate("hook " + std::string(name) + " " + std::to_string(id));
}

class Manager final : public ContextManager {
 public:
  Manager(EngineImpl* engine, const ContextManagerOptions& options)
      : engine_(engine), options_(options) {}

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
  Row* Find(const Conversation& conversation) const;
  Result<Row*> FindOrMake(const Conversation& conversation);
  std::optional<std::string> SystemOf(const Conversation& conversation) const;
  // The hooks of one kind, in their order.
  template <class Kind>
  std::vector<std::pair<HookId, Kind>> HooksOf() const;
  Result<std::vector<Message>> Encoded(Row* row, const Conversation& conversation) const;
  Result<int32_t> Sinks(const Conversation& conversation) const;
  // Counts what has left the row since it was counted last.
  void CountEvicted(Row* row);
  Status TellEvicted(Row* row, const Conversation& conversation);
  static void Splice(Row* row, const Conversation& conversation, std::vector<Message> head);
  // The beginning of all prompts with this system prompt.
  Result<std::vector<TokenId>> SharedTokens(const std::string& system) const;
  std::string Variables() const { return options_.no_think ? R"({"enable_thinking":false})" : ""; }

  EngineImpl* const engine_;
  const ContextManagerOptions options_;
  mutable std::mutex mutex_;  // guards all below; a row's content belongs to its conversation
  std::map<std::string, std::unique_ptr<Row>> rows_;  // by the conversation's id
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

Row* Manager::Find(const Conversation& conversation) const {
  const std::lock_guard lock(mutex_);
  const auto found = rows_.find(conversation.id());
  return found == rows_.end() ? nullptr : found->second.get();
}

Result<Row*> Manager::FindOrMake(const Conversation& conversation) {
  if (Row* row = Find(conversation)) return row;
  SessionOptions options;
  options.sampler = options_.sampler;
  options.cache_namespace = options_.cache_namespace;
  options.template_variables = Variables();
  auto row = std::make_unique<Row>();
  GYRATOR_ASSIGN_OR_RETURN(row->session, engine_->NewSession(options));
  const std::lock_guard lock(mutex_);
  return (rows_[conversation.id()] = std::move(row)).get();
}

Result<std::vector<Message>> Manager::Encoded(Row* row, const Conversation& conversation) const {
  const std::span<const Message> messages = conversation.messages();
  const bool kept = messages.size() >= row->first &&
                    std::equal(row->dropped.begin(), row->dropped.end(), messages.begin());
  if (!kept) {  // another history: nothing stands for it yet
    row->head.clear();
    row->dropped.clear();
    row->first = 0;
  }
  std::vector<Message> shown = row->head;
  const auto rest = messages.subspan(row->first);
  shown.insert(shown.end(), rest.begin(), rest.end());
  for (const auto& [id, hook] : HooksOf<BeforeEncode>()) {
    auto other = hook.run(shown, conversation);
    if (!other.ok()) return FromHook("before_encode", id, other.status());
    if (*other) shown = *std::move(*other);
  }
  if (const auto system = SystemOf(conversation)) {
    shown.insert(shown.begin(), {.role = "system", .content = *system, .extras = {}});
  }
  return shown;
}

Result<int32_t> Manager::Sinks(const Conversation& conversation) const {
  int32_t sinks = options_.n_sink;
  for (const auto& [id, hook] : HooksOf<SinkCount>()) {
    const Result<int32_t> count = hook.run(conversation);
    if (!count.ok()) return FromHook("sink_fn", id, count.status());
    if (*count >= 0) sinks = *count;
  }
  return sinks;
}

Result<int32_t> Manager::Prepare(Conversation& conversation) {
  GYRATOR_ASSIGN_OR_RETURN(Row * row, FindOrMake(conversation));
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Message> shown, Encoded(row, conversation));
  GYRATOR_ASSIGN_OR_RETURN(const int32_t sinks, Sinks(conversation));
  Session& session = *row->session;
  GYRATOR_RETURN_IF_ERROR(session.SetWindow({.overflow = options_.eviction,
                                             .mode = options_.evict_mode,
                                             .sinks = sinks,
                                             .headroom = options_.headroom}));
  const auto system = SystemOf(conversation);
  const bool changed = session.info().cp > 0 && system != row->system;
  Result<Reply> prepared = Reply();
  if (!conversation.messages().empty()) {
    GYRATOR_RETURN_IF_ERROR(session.SetTranscript(std::move(shown)));
    prepared = session.Prepare({});
  } else if (system) {
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<TokenId> prefix, SharedTokens(*system));
    prepared = session.Complete(prefix, {.tokens_max = 0});
  }
  CountEvicted(row);
  GYRATOR_RETURN_IF_ERROR(prepared.status());
  row->system = system;
  {
    const std::lock_guard lock(mutex_);
    counted_.n_system_changes += changed ? 1 : 0;
    counted_.radix.hits += prepared->tokens_shared > 0 ? 1 : 0;
    counted_.radix.misses += prepared->tokens_shared == 0 && prepared->tokens_decoded > 0 ? 1 : 0;
  }
  GYRATOR_RETURN_IF_ERROR(TellEvicted(row, conversation));
  conversation.MarkPrepared(session.info().cp);
  return session.info().cp;
}

void Manager::CountEvicted(Row* row) {
  const SessionInfo info = row->session->info();
  if (info.windows_rebuilt != row->window) {
    row->window = info.windows_rebuilt;
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
  for (const auto& [id, hook] : HooksOf<OnEvict>()) {
    auto other = hook.run(report, conversation);
    if (!other.ok()) return FromHook("on_evict", id, other.status());
    if (*other) splice = *std::move(other);
  }
  row->tokens_told = info.evicted;
  row->messages_told = gone;
  if (splice) Splice(row, conversation, *std::move(splice));
  return {};
}

// Whole turns go from the front: what is gone ends where `head` takes over.
void Manager::Splice(Row* row, const Conversation& conversation, std::vector<Message> head) {
  const std::span<const Message> shown = row->session->transcript();
  const std::span<const Message> messages = conversation.messages();
  const size_t before = (shown[0].role == "system" ? 1 : 0) + row->head.size();
  // Where hooks added messages or left some out, those count that were shown as they are.
  const bool in_place = shown.size() - before == messages.size() - row->first;
  for (size_t index : row->messages_told) {
    const bool more = row->first < messages.size();
    const bool left = in_place ? index >= before : more && shown[index] == messages[row->first];
    if (more && left) ++row->first;
  }
  row->head = std::move(head);
  row->dropped.assign(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(row->first));
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
  for (size_t i = 0; i < conversations.size(); ++i) {
    const Result<int32_t> prepared = Prepare(*conversations[i]);
    if (!prepared.ok()) {
      replies[i] = prepared.status();
      continue;
    }
    asked.push_back(i);
    batch.push_back({.session = Find(*conversations[i])->session.get(), .options = options});
  }
  std::vector<Result<Reply>> done = engine_->Run(batch);
  for (size_t i = 0; i < asked.size(); ++i) {
    Conversation& conversation = *conversations[asked[i]];
    Row* row = Find(conversation);
    CountEvicted(row);
    conversation.set_n_past(row->session->info().cp);
    replies[asked[i]] = std::move(done[i]);
  }
  return replies;
}

Result<int32_t> Manager::MakeRoom(Conversation& conversation, int32_t n) {
  Row* row = Find(conversation);
  if (row == nullptr || n <= 0) return 0;
  GYRATOR_ASSIGN_OR_RETURN(const int32_t freed, row->session->MakeRoom(n));
  CountEvicted(row);
  conversation.set_n_past(row->session->info().cp);
  return freed;
}

void Manager::Release(Conversation& conversation) {
  std::unique_ptr<Row> row;
  {
    const std::lock_guard lock(mutex_);
    const auto found = rows_.find(conversation.id());
    if (found == rows_.end()) return;
    row = std::move(found->second);
    rows_.erase(found);
  }
  conversation.set_n_past(0);
}

Result<Conversation> Manager::Fork(Conversation& conversation) {
  Conversation child = conversation.Fork();
  Row* row = Find(conversation);
  if (row == nullptr) return child;
  auto copy = std::make_unique<Row>();
  GYRATOR_ASSIGN_OR_RETURN(copy->session, row->session->Fork({}));
  CountEvicted(row);  // one that was stopped at an eviction makes its window anew
  copy->head = row->head;
  copy->first = row->first;
  copy->dropped = row->dropped;
  copy->tokens_counted = row->tokens_counted;
  copy->evictions_counted = row->evictions_counted;
  copy->tokens_told = row->tokens_told;
  copy->messages_told = row->messages_told;
  copy->system = row->system;
  const std::lock_guard lock(mutex_);
  rows_[child.id()] = std::move(copy);
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
  GYRATOR_RETURN_IF_ERROR(CheckSampler(options.sampler));
  GYRATOR_RETURN_IF_ERROR(CheckWindow({.overflow = options.eviction,
                                       .mode = options.evict_mode,
                                       .sinks = options.n_sink,
                                       .headroom = options.headroom},
                                      engine->options().use_cache));
  return std::unique_ptr<ContextManager>(new Manager(static_cast<EngineImpl*>(engine), options));
}

}  // namespace gyrator

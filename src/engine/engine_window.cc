// How the loop keeps a conversation that outgrows its session within it.
//
// Neighbours never change what is evicted: a plan looks at the session's capacity and tokens alone,
// never at the pool, and what the session had counts as it was before it was parked.
#include <algorithm>
#include <limits>
#include <utility>

#include "engine/engine_loop.h"
#include "engine/prompt_calls.h"
#include "model/block_scores.h"

namespace gyrator {

namespace {

constexpr int32_t kNewest = 32;  // of a reply: what the next token needs most
constexpr float kUnknownScore = std::numeric_limits<float>::quiet_NaN();

Status NoRoom() {
  return Status::Exhausted("capacity: room is wanted, and the session evicts nothing (overflow)")
      .Named("capacity");
}

bool IsReplying(const Request& request) { return !request.reply.tokens.empty(); }

int32_t CommonPrefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<int32_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                              a.begin());
}

// The parts of spans that lie before `end`.
std::vector<TokenSpan> Before(std::span<const TokenSpan> spans, int32_t end) {
  std::vector<TokenSpan> before;
  for (const TokenSpan& span : spans) {
    if (span.begin < end) before.push_back({span.begin, std::min(span.end, end)});
  }
  return before;
}

}  // namespace

Status EngineLoop::Fit(Request* request) {
  if (request->goal) return {};
  if (request->room > 0 && request->session->window().overflow == Overflow::kError) return NoRoom();
  GYRATOR_RETURN_IF_ERROR(View(request));
  // A prompt evicts once, however often it has to be admitted.
  if (request->fitted && !IsReplying(*request)) return {};
  GYRATOR_RETURN_IF_ERROR(EvictWhatMust(request));
  request->fitted = !request->goal;
  return {};
}

Status EngineLoop::EvictWhatMust(Request* request) {
  const WindowOptions& options = request->session->window();
  const int32_t capacity = options_.context;
  const auto length = static_cast<int32_t>(request->tokens.size());
  if (request->room > 0) return Evict(request, std::max(request->room, length - capacity));
  if (options.overflow == Overflow::kError || request->holds) return {};
  const int32_t headroom = IsReplying(*request) ? 0 : std::min(options.headroom, capacity / 4);
  if (length + headroom <= capacity) return {};
  Status status = Evict(request, length + headroom - capacity);
  const bool hopeless = status.code() == Code::kExhausted && status.name() == "capacity";
  if (!hopeless || headroom == 0) return status;
  return length <= capacity ? Status() : Evict(request, length - capacity);  // without headroom
}

Status EngineLoop::CheckRoom(const SessionImpl& session, const Prompt& prompt) const {
  const std::vector<TokenId> held = sequences_->tokens(session.cache().slot()).ToVector();
  const Window& window = session.window_state();
  const Window anew;
  const bool goes_on = window.Continues(prompt.tokens, held);
  const std::vector<TokenId> tokens = goes_on ? window.View(prompt.tokens) : prompt.tokens;
  return CheckFits({.session = &session,
                    .window = goes_on ? &window : &anew,
                    .tokens = tokens,
                    .layout = &prompt.layout},
                   held.size(), 0);
}

Status EngineLoop::CheckFits(const Candidate& candidate, size_t held, int32_t room) const {
  const auto length = static_cast<int32_t>(candidate.tokens.size());
  const int32_t need = std::max(room, length - options_.context);
  if (need <= 0) return {};
  if (candidate.session->window().overflow == Overflow::kError) {
    return TooLong(length, static_cast<int32_t>(held), options_.context);
  }
  std::vector<float> scores(candidate.tokens.size() / kBlockPositions, kUnknownScore);
  return Plan(candidate, need, std::move(scores)).status();
}

CacheView EngineLoop::Look(const SessionImpl& session, std::span<const TokenId> tokens) const {
  const SessionCache& cache = session.cache();
  const std::vector<TokenId> held = sequences_->tokens(cache.slot()).ToVector();
  const Window& window = session.window_state();
  CacheView view;
  view.tokens.assign(tokens.begin(), tokens.end());
  int32_t length_max = INT32_MAX;
  if (!window.empty() && window.Continues(tokens, held)) {
    view.tokens = window.View(tokens);
  } else if (!window.empty()) {
    view.rebuilds = true;
    length_max = window.exact(static_cast<int32_t>(held.size()));
  }
  const WindowOptions& options = session.window();
  const int32_t headroom =
      options.overflow == Overflow::kError ? 0 : std::min(options.headroom, options_.context / 4);
  view.fits = std::ssize(view.tokens) + headroom <= options_.context;
  view.found = cache.Find(view.tokens, options_.use_cache, length_max);
  const int32_t found = view.found.own + view.found.cached;
  const int32_t said =
      std::min(CommonPrefix(held, view.tokens), static_cast<int32_t>(view.tokens.size()) - 1);
  if (options_.use_cache && !view.rebuilds) view.lost = std::max(0, said - found);
  if (!shares_prefixes() || !options_.explain_namespaces || view.tokens.empty()) return view;
  view.elsewhere =
      sequences_->FindElsewhere(cache.slot(), std::span(view.tokens).first(view.tokens.size() - 1));
  return view;
}

Status EngineLoop::View(Request* request) {
  if (request->viewed) return {};
  SessionCache& cache = request->session->cache();
  request->held = sequences_->tokens(cache.slot()).ToVector();
  const Window& window = request->session->window_state();
  const bool goes_on = request->is_turn() ? window.Continues(request->tokens, request->held)
                                          : window.Matches(request->tokens, request->held);
  if (!window.empty() && goes_on) {
    if (request->wants_prompt_logits()) {
      return Status::Unsupported("logits of the prompt: tokens before it were evicted");
    }
    request->tokens = window.View(request->tokens);
  } else if (!window.empty()) {
    const Window anew;
    GYRATOR_RETURN_IF_ERROR(CheckFits({.session = request->session,
                                       .window = &anew,
                                       .tokens = request->tokens,
                                       .layout = &request->layout},
                                      request->held.size(), request->room));
    GYRATOR_RETURN_IF_ERROR(cache.Resume());
    const int32_t exact = window.exact(static_cast<int32_t>(request->held.size()));
    cache.Truncate(exact);
    request->held.resize(static_cast<size_t>(exact));
    request->session->set_window_state({});
    request->reply.window_rebuilt = true;
    ++counted_.windows_rebuilt;
  }
  request->viewed = true;
  request->prompt_length = static_cast<int32_t>(request->tokens.size());
  return {};
}

Status EngineLoop::Evict(Request* request, int32_t need) {
  SessionImpl& session = *request->session;
  SessionCache& cache = session.cache();
  // That too little can go shows whatever the scores are, and before a parked session comes back:
  // without what parking lost it would have less than it has alone.
  std::vector<float> scores(request->tokens.size() / kBlockPositions, kUnknownScore);
  const auto plan = [&](std::vector<float> looked) {
    return Plan({.session = &session,
                 .window = &session.window_state(),
                 .tokens = request->tokens,
                 .layout = &request->layout,
                 .replying = IsReplying(*request)},
                need, std::move(looked));
  };
  GYRATOR_ASSIGN_OR_RETURN(Eviction eviction, plan(std::move(scores)));
  GYRATOR_RETURN_IF_ERROR(cache.Resume());
  // What the session has of it, or had before it was parked.
  const int32_t own = IsReplying(*request) ? static_cast<int32_t>(request->tokens.size()) - 1
                                           : CommonPrefix(request->held, request->tokens);
  const bool shifts = session.window().mode == EvictMode::kShift;
  const bool looks = session.window().overflow == Overflow::kScore;
  if ((shifts || looks) && cache.sequence().CommonPrefix(request->tokens) < own) {
    request->goal = request->tokens;
    request->tokens.resize(static_cast<size_t>(own));
    return {};
  }
  if (looks) {
    GYRATOR_ASSIGN_OR_RETURN(scores, Scores(*request));
    GYRATOR_ASSIGN_OR_RETURN(eviction, plan(std::move(scores)));
  }
  eviction.cp = own;
  if (shifts) {
    const std::vector<TokenSpan> spans = Before(eviction.spans, own);
    if (!spans.empty()) GYRATOR_RETURN_IF_ERROR(cache.Evict(own, spans));
  }
  Window window = session.window_state();
  window.Evict(eviction, &request->tokens);
  session.set_window_state(std::move(window));
  const auto length = static_cast<int32_t>(request->tokens.size());
  request->prompt_length = IsReplying(*request) ? std::min(request->prompt_length, length) : length;
  const int32_t evicted = LengthOf(eviction.spans);
  request->reply.tokens_evicted += evicted;
  ++counted_.evictions[static_cast<size_t>(eviction.policy)];
  counted_.tokens_evicted += static_cast<uint64_t>(evicted);
  return {};
}

Result<Eviction> EngineLoop::Plan(const Candidate& candidate, int32_t need,
                                  std::vector<float> scores) {
  const WindowOptions& options = candidate.session->window();
  const Window& window = *candidate.window;
  const PromptLayout& layout = *candidate.layout;
  WindowView view{.length = static_cast<int32_t>(candidate.tokens.size()),
                  .pinned = window.FromAll(layout.pinned),
                  .sinks = options.sinks};
  for (int32_t turn : layout.turns) {
    const int32_t at = window.FromAll(turn);
    if (view.turns.empty() || view.turns.back() < at) view.turns.push_back(at);
  }
  for (const TokenSpan& span : layout.atomic) {
    const TokenSpan there = {window.FromAll(span.begin), window.FromAll(span.end)};
    if (there.begin < there.end) view.atomic.push_back(there);
  }
  const bool keeps_turn = !candidate.replying || options.overflow == Overflow::kMessage;
  const bool knows_turn = keeps_turn && !view.turns.empty();
  view.newest = knows_turn ? view.length - view.turns.back() : std::min(kNewest, view.length);
  ShowCalls(layout, window, &view);
  view.scores = std::move(scores);
  Eviction eviction{.cp = 0, .policy = PolicyOf(options.overflow), .spans = {}};
  GYRATOR_ASSIGN_OR_RETURN(eviction.spans, PlanEviction(eviction.policy, view, need));
  return eviction;
}

Result<std::vector<float>> EngineLoop::Scores(const Request& request) {
  const SessionCache& cache = request.session->cache();
  const int32_t cp = cache.sequence().CommonPrefix(request.tokens);
  std::vector<float> scores(request.tokens.size() / kBlockPositions, kUnknownScore);
  const int32_t rows = std::min(kScoredRowsMax, cp);
  if (rows == 0) return scores;
  const BlockTableView table = cache.sequence().table();
  const ModelConfig& config = model_->loaded().config;
  BlockScores looks(storage_->view(), config.num_heads,
                    {.table = table, .first_position = cp - rows, .num_rows = rows},
                    threads_.get());
  const auto tokens =
      std::span(request.tokens).subspan(static_cast<size_t>(cp - rows), static_cast<size_t>(rows));
  const SequenceRows batch = {
      .tokens = tokens, .first_position = cp - rows, .table = table, .stored = true};
  ForwardContext context = Context();
  context.observer = &looks;
  GYRATOR_RETURN_IF_ERROR(Forward(context, storage_->view(), {&batch, 1}, nullptr));
  ++counted_.passes_to_score;
  const std::vector<float> found = looks.Scores();
  for (size_t block = 0; block < scores.size() && block < found.size(); ++block) {
    scores[block] = found[block];
  }
  return scores;
}

std::span<const TokenId> EngineLoop::Spoken(const Request& request) {
  const Window& window = request.session->window_state();
  const SamplerOptions& sampler = request.session->sampler();
  const bool looks = sampler.repeat_penalty != 1 || sampler.frequency_penalty != 0 ||
                     sampler.presence_penalty != 0;
  if (window.empty() || !looks) return request.tokens;
  spoken_ = window.All(request.tokens);
  return spoken_;
}

}  // namespace gyrator

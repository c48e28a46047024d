#include "tests/eviction/measure.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace gyrator {

namespace {

constexpr int32_t kHeadroom = 256;  // behind a prompt, for its reply; a quarter of less than 1,024

double LossOf(std::span<const float> logits, TokenId token) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - most);
  return most + std::log(sum) - logits[static_cast<size_t>(token)];
}

std::vector<TokenId> TokensUntil(const TextModel& text, std::span<const Message> messages,
                                 bool asks) {
  const auto rendered =
      text.Render(messages, {.add_generation_prompt = asks, .tools = {}, .variables = {}});
  return rendered.ok() ? text.Encode(*rendered, false) : std::vector<TokenId>();
}

// [begin, end) of each reply in the tokens of the whole, its end token included.
struct Span {
  size_t message = 0;  // its index
  size_t begin = 0, end = 0;
};

std::vector<Span> RepliesOf(const TextModel& text, const Dialogue& dialogue) {
  std::vector<Span> replies;
  for (size_t i = 0; i < dialogue.size(); ++i) {
    if (dialogue[i].role != "assistant") continue;
    const std::span<const Message> all(dialogue);
    replies.push_back({.message = i,
                       .begin = TokensUntil(text, all.first(i), true).size(),
                       .end = TokensUntil(text, all.first(i + 1), false).size()});
  }
  return replies;
}

class Run {
 public:
  Run(Engine* engine, Session* session, Measured* measured)
      : engine_(*engine), session_(*session), sums_(*measured) {}

  // Scores tokens[cp] and gives it to the session.
  Status Feed(std::span<const TokenId> tokens, size_t cp, bool is_reply) {
    if (cp > 0) {
      const double loss = LossOf(session_.last_logits(), tokens[cp]);
      if (!asked_) sums_.loss += loss, ++sums_.tokens;
      if (is_reply) sums_.reply_loss += loss, ++sums_.reply_tokens;
    }
    return Look(session_.Complete(tokens.first(cp + 1), {.tokens_max = 0}));
  }

  // Gives it the messages as a prompt, which evicts whole turns.
  Status Ask(std::span<const Message> messages, WindowOptions window) {
    asked_ = true;
    window.headroom = kHeadroom;
    GYRATOR_RETURN_IF_ERROR(session_.SetWindow(window));
    GYRATOR_RETURN_IF_ERROR(session_.SetTranscript({messages.begin(), messages.end()}));
    GYRATOR_RETURN_IF_ERROR(Look(session_.Prepare({})));
    window.headroom = 0;
    return session_.SetWindow(window);
  }

 private:
  Status Look(const Result<Reply>& reply) {
    GYRATOR_RETURN_IF_ERROR(reply.status());
    const EngineStats now = engine_.stats();
    const auto held = static_cast<uint64_t>(now.blocks_total - now.blocks_free);
    sums_.kv_bytes_max = std::max(sums_.kv_bytes_max, held * now.block_bytes);
    return {};
  }

  Engine& engine_;
  Session& session_;
  Measured& sums_;
  bool asked_ = false;  // not every token is scored
};

Status MeasureOne(const MeasureOptions& options, const Dialogue& dialogue, Engine* engine,
                  Measured* measured) {
  const TextModel& text = *options.model->text();
  WindowOptions window{.overflow = options.policy.overflow,
                       .mode = options.mode,
                       .sinks = options.policy.sinks,
                       .headroom = 0};
  SessionOptions session_options;
  session_options.window = window;
  GYRATOR_ASSIGN_OR_RETURN(const auto session, engine->NewSession(session_options));
  const std::vector<TokenId> tokens = TokensOf(text, dialogue);
  Run run(engine, session.get(), measured);
  size_t cp = 0;
  for (const Span& reply : RepliesOf(text, dialogue)) {
    if (options.policy.overflow == Overflow::kMessage) {
      GYRATOR_RETURN_IF_ERROR(run.Ask(std::span(dialogue).first(reply.message), window));
      cp = reply.begin;
    }
    for (; cp < reply.end; ++cp) {
      GYRATOR_RETURN_IF_ERROR(run.Feed(tokens, cp, cp >= reply.begin));
    }
  }
  measured->length += std::ssize(tokens);
  if (session->all_tokens() != tokens) return Status::Internal("the session read other tokens");
  return {};
}

}  // namespace

double Measured::reply_perplexity() const {
  return std::exp(reply_loss / static_cast<double>(reply_tokens));
}

double Measured::perplexity() const { return std::exp(loss / static_cast<double>(tokens)); }

std::vector<TokenId> TokensOf(const TextModel& text, const Dialogue& dialogue) {
  return TokensUntil(text, dialogue, false);
}

Result<Measured> Measure(const MeasureOptions& options, const std::vector<Dialogue>& dialogues) {
  EngineOptions engine_options;
  engine_options.context = options.capacity;
  engine_options.threads = 1;
  engine_options.share_prefixes = false;
  GYRATOR_ASSIGN_OR_RETURN(const auto engine, Engine::Create(options.model, engine_options));
  Measured measured;
  for (const Dialogue& dialogue : dialogues) {
    GYRATOR_RETURN_IF_ERROR(MeasureOne(options, dialogue, engine.get(), &measured));
  }
  const EngineStats stats = engine->stats();
  for (const uint64_t count : stats.evictions) measured.evictions += count;
  measured.decoded = stats.tokens_decoded;
  return measured;
}

}  // namespace gyrator

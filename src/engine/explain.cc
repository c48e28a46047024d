// Session::Explain: the beginning of a request, as far as nothing changes by it.
#include "gyrator/explain.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/engine_impl.h"
#include "engine/session_impl.h"

namespace gyrator {

namespace {

constexpr std::string_view kRuleNames[] = {"template drift", "edited history", "other namespace",
                                           "evicted",        "never seen",     "other compute type",
                                           "other model",    "other adapter"};

TokenId At(std::span<const TokenId> tokens, int32_t at) {
  return at < std::ssize(tokens) ? tokens[static_cast<size_t>(at)] : -1;
}

std::string ElsewhereText(int32_t count) {
  return std::to_string(count) + " tokens of it are cached in another namespace";
}

// The end of what is known of the first `count` messages.
int32_t EndOf(std::span<const TokenRange> ranges, size_t count) {
  int32_t end = 0;
  for (const TokenRange& range : ranges.first(std::min(count, ranges.size()))) {
    end = std::max(end, range.end);
  }
  return end;
}

// Those that were decoded together have one range; it is the first one's.
std::string MessagesAt(std::span<const TokenRange> ranges, int32_t at) {
  const auto first = std::find_if(ranges.begin(), ranges.end(),
                                  [at](const TokenRange& range) { return at < range.end; });
  if (first == ranges.end()) return "what follows the messages";
  const auto next = std::find_if(first + 1, ranges.end(), [first](const TokenRange& range) {
    return range.begin != first->end || range.end != first->end;
  });
  const std::string from = std::to_string(first - ranges.begin());
  if (next - first == 1) return "message " + from;
  return "one of the messages " + from + " to " + std::to_string(next - ranges.begin() - 1);
}

}  // namespace

std::string_view RuleName(Rule rule) { return kRuleNames[static_cast<size_t>(rule)]; }

size_t EditedFrom(std::span<const TokenRange> ranges, int64_t length) {
  const auto unknown = std::find_if(ranges.begin(), ranges.end(),
                                    [](const TokenRange& range) { return range.begin < 0; });
  const auto first = static_cast<size_t>(unknown - ranges.begin());
  return length > EndOf(ranges, first) ? first : kNoMessage;
}

Result<Explanation> SessionImpl::Explain() const {
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("explain"));
  GYRATOR_ASSIGN_OR_RETURN(const Prompt prompt, MakePrompt());
  return Explained(prompt);
}

Result<Explanation> SessionImpl::Explain(std::span<const TokenId> prefix) const {
  if (prefix.empty())
    return Status::InvalidArgument("prompt: at least one token expected, found none");
  GYRATOR_ASSIGN_OR_RETURN(const SessionClaim claim, Claim("explain"));
  GYRATOR_RETURN_IF_ERROR(engine_->loop().CheckTokens(prefix));
  return Explained({.tokens = {prefix.begin(), prefix.end()}, .layout = {}, .rendered = {}});
}

Result<Explanation> SessionImpl::Explained(const Prompt& prompt) const {
  GYRATOR_RETURN_IF_ERROR(engine_->CheckProcess());
  CacheView view;
  engine_->Call([&] { view = engine_->loop().Look(*this, prompt.tokens); });
  Explanation explanation;
  explanation.prompt_tokens = static_cast<int32_t>(view.tokens.size());
  explanation.own = view.found.own;
  explanation.shared = view.found.cached;
  explanation.decode = explanation.prompt_tokens - explanation.own - explanation.shared;
  explanation.fits = view.fits;
  explanation.evicted = evicted().num_evicted();
  if (!engine_->options().use_cache) return explanation;
  GYRATOR_ASSIGN_OR_RETURN(explanation.divergence, Diverges(prompt, view));
  if (!explanation.divergence || engine_->model_impl().text_impl() == nullptr) return explanation;
  const auto read = [this](TokenId token) {
    return token < 0 ? std::string()
                     : engine_->model_impl().text_impl()->Decode({&token, 1}, false);
  };
  explanation.divergence->had_text = read(explanation.divergence->had);
  explanation.divergence->wants_text = read(explanation.divergence->wants);
  return explanation;
}

Result<std::optional<Divergence>> SessionImpl::Diverges(const Prompt& prompt,
                                                        const CacheView& view) const {
  const std::vector<TokenId> all = all_tokens();
  const auto at = static_cast<int32_t>(
      std::mismatch(all.begin(), all.end(), prompt.tokens.begin(), prompt.tokens.end()).first -
      all.begin());
  const int32_t found = view.found.own + view.found.cached;
  const bool differs = at < std::ssize(all) && at < std::ssize(prompt.tokens);
  const bool elsewhere = evicted().empty() && view.elsewhere > found;
  Divergence divergence;
  divergence.position = differs || view.rebuilds ? at : evicted().ToAll(found);
  divergence.had = At(all, divergence.position);
  divergence.wants = At(prompt.tokens, divergence.position);
  if (view.rebuilds) {
    divergence.rule = Rule::kEvicted;
    divergence.detail = "it differs at or before an evicted token: the window of " +
                        std::to_string(view_.tokens.size()) + " tokens is made anew";
  } else if (differs) {
    GYRATOR_RETURN_IF_ERROR(Judge(prompt, at, &divergence));
  } else if (view.lost > 0) {
    divergence.rule = Rule::kEvicted;
    divergence.detail = std::to_string(view.lost) +
                        " tokens gave their place to other sessions: they are computed again";
  } else if (elsewhere) {
    divergence.rule = Rule::kOtherNamespace;
    divergence.detail = ElsewhereText(view.elsewhere);
  } else if (all.empty() && found + 1 < std::ssize(prompt.tokens)) {
    divergence.rule = Rule::kNeverSeen;
    divergence.detail = "nobody has computed it";
  } else {
    return std::optional<Divergence>();
  }
  if (differs && elsewhere) divergence.detail += "; " + ElsewhereText(view.elsewhere);
  return std::optional(std::move(divergence));
}

// Ranges tell where the messages of a turn end together, the render where one of them begins: a
// difference is the template's when it lies before both.
Status SessionImpl::Judge(const Prompt& prompt, int32_t at, Divergence* divergence) const {
  divergence->rule = Rule::kEditedHistory;
  if (prompt.rendered.empty()) {
    divergence->detail = "the tokens given are others";
    return {};
  }
  const bool edited = edited_from_ != kNoMessage;
  if (edited) divergence->detail = "message " + std::to_string(edited_from_) + " is another";
  if (edited && at >= EndOf(ranges_, edited_from_)) return {};
  if (edited) {
    GYRATOR_ASSIGN_OR_RETURN(const TextModelImpl* text, engine_->text());
    GYRATOR_ASSIGN_OR_RETURN(
        const size_t content,
        FindContent(*text, {transcript_, Rendering(), prompt.rendered}, edited_from_));
    if (ReadAs(*text, prompt.rendered, all_tokens()) >= content) return {};
  }
  divergence->rule = Rule::kTemplateDrift;
  divergence->detail =
      "the template renders " + MessagesAt(ranges_, at) + " otherwise than it was decoded";
  return {};
}

}  // namespace gyrator

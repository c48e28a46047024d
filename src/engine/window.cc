#include "engine/window.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace gyrator {

namespace {

constexpr std::pair<Overflow, std::string_view> kOverflowNames[] = {{Overflow::kError, "error"},
                                                                    {Overflow::kMessage, "message"},
                                                                    {Overflow::kFifo, "fifo"},
                                                                    {Overflow::kSink, "sink"},
                                                                    {Overflow::kScore, "score"}};

}  // namespace

std::string_view OverflowName(Overflow overflow) {
  return kOverflowNames[static_cast<size_t>(overflow)].second;
}

std::optional<Overflow> OverflowFromName(std::string_view name) {
  for (const auto& [overflow, its_name] : kOverflowNames) {
    if (its_name == name) return overflow;
  }
  return std::nullopt;
}

std::string_view EvictModeName(EvictMode mode) {
  return mode == EvictMode::kShift ? "shift" : "recompute";
}

std::optional<EvictMode> EvictModeFromName(std::string_view name) {
  if (name == "shift") return EvictMode::kShift;
  if (name == "recompute") return EvictMode::kRecompute;
  return std::nullopt;
}

EvictionPolicy PolicyOf(Overflow overflow) {
  switch (overflow) {
    case Overflow::kError:
      break;
    case Overflow::kMessage:
      return EvictionPolicy::kMessage;
    case Overflow::kFifo:
      return EvictionPolicy::kFifo;
    case Overflow::kSink:
      return EvictionPolicy::kSink;
    case Overflow::kScore:
      return EvictionPolicy::kScore;
  }
  GYRATOR_CHECK(overflow != Overflow::kError);
  return EvictionPolicy::kMessage;
}

Overflow OverflowOf(EvictionPolicy policy) {
  switch (policy) {
    case EvictionPolicy::kMessage:
      return Overflow::kMessage;
    case EvictionPolicy::kFifo:
      return Overflow::kFifo;
    case EvictionPolicy::kSink:
      return Overflow::kSink;
    case EvictionPolicy::kScore:
      return Overflow::kScore;
  }
  return Overflow::kError;
}

Status CheckWindow(const WindowOptions& options, const EngineOptions& engine) {
  if (options.sinks < 0 || options.headroom < 0) {
    return Status::InvalidArgument("sinks, headroom: at least 0 expected, found " +
                                   std::to_string(options.sinks) + ", " +
                                   std::to_string(options.headroom));
  }
  const bool has_sinks = options.overflow == Overflow::kFifo ||
                         options.overflow == Overflow::kSink ||
                         options.overflow == Overflow::kScore;
  if (has_sinks && options.sinks >= engine.context) {
    return Status::InvalidArgument("sinks (--keep): fewer than the capacity of " +
                                   std::to_string(engine.context) + " tokens expected, found " +
                                   std::to_string(options.sinks));
  }
  if (options.overflow != Overflow::kError && !engine.use_cache) {
    return Status::InvalidArgument("overflow '" + std::string(OverflowName(options.overflow)) +
                                   "': nothing can be evicted without the cache");
  }
  return {};
}

int32_t Window::num_evicted() const {
  int32_t count = 0;
  for (const Gone& gone : gone_) count += static_cast<int32_t>(gone.tokens.size());
  return count;
}

int32_t Window::num_evictions() const {
  const auto evicts = [](const Eviction& entry) { return !entry.is_rewind(); };
  return static_cast<int32_t>(std::count_if(log_.begin(), log_.end(), evicts));
}

std::vector<TokenId> Window::All(std::span<const TokenId> window) const {
  std::vector<TokenId> all;
  all.reserve(window.size() + static_cast<size_t>(num_evicted()));
  auto from = window.begin();
  for (const Gone& gone : gone_) {
    const auto to = window.begin() + std::min<std::ptrdiff_t>(gone.at, std::ssize(window));
    all.insert(all.end(), from, to);
    all.insert(all.end(), gone.tokens.begin(), gone.tokens.end());
    from = to;
  }
  all.insert(all.end(), from, window.end());
  return all;
}

int64_t Window::CommonPrefix(std::span<const TokenId> all,
                             std::span<const TokenId> window) const noexcept {
  size_t common = 0;
  // Compares the next tokens; false when they differ or `all` ends before them.
  const auto agrees = [&](std::span<const TokenId> next) {
    const auto rest = all.subspan(common);
    const auto same = std::mismatch(next.begin(), next.end(), rest.begin(), rest.end()).first;
    common += static_cast<size_t>(same - next.begin());
    return same == next.end();
  };
  size_t from = 0;
  for (const Gone& gone : gone_) {
    const size_t to = std::min(static_cast<size_t>(gone.at), window.size());
    if (!agrees(window.subspan(from, to - from)) || !agrees(gone.tokens)) {
      return static_cast<int64_t>(common);
    }
    from = to;
  }
  (void)agrees(window.subspan(from));
  return static_cast<int64_t>(common);
}

bool Window::Matches(std::span<const TokenId> all, std::span<const TokenId> window) const {
  if (gone_.empty()) return true;
  if (!Fits(std::ssize(window))) return false;
  const auto last = static_cast<size_t>(gone_.back().at);
  const std::vector<TokenId> start = All(window.first(last));
  return start.size() <= all.size() && std::equal(start.begin(), start.end(), all.begin());
}

std::vector<TokenId> Window::View(std::span<const TokenId> all) const {
  std::vector<TokenId> window;
  window.reserve(all.size());
  size_t from = 0, evicted = 0;
  for (const Gone& gone : gone_) {
    const size_t to = static_cast<size_t>(gone.at) + evicted;
    window.insert(window.end(), all.begin() + static_cast<std::ptrdiff_t>(from),
                  all.begin() + static_cast<std::ptrdiff_t>(to));
    from = to + gone.tokens.size();
    evicted += gone.tokens.size();
  }
  GYRATOR_CHECK(from <= all.size());
  window.insert(window.end(), all.begin() + static_cast<std::ptrdiff_t>(from), all.end());
  return window;
}

int32_t Window::FromAll(int32_t all) const {
  int32_t evicted = 0;
  for (const Gone& gone : gone_) {
    const int32_t begin = gone.at + evicted;
    if (all < begin) break;
    const auto count = static_cast<int32_t>(gone.tokens.size());
    if (all < begin + count) return gone.at;
    evicted += count;
  }
  return all - evicted;
}

int32_t Window::ToAll(int32_t window) const {
  int32_t all = window;
  for (const Gone& gone : gone_) {
    if (gone.at > window) break;
    all += static_cast<int32_t>(gone.tokens.size());
  }
  return all;
}

void Window::Evict(const Eviction& eviction, std::vector<TokenId>* tokens) {
  std::vector<Gone> gone;
  std::vector<TokenId> kept;
  const auto add = [&](std::span<const TokenId> evicted) {
    const auto at = static_cast<int32_t>(kept.size());
    if (gone.empty() || gone.back().at != at) gone.push_back({at, {}});
    gone.back().tokens.insert(gone.back().tokens.end(), evicted.begin(), evicted.end());
  };
  auto before = gone_.begin();
  auto span = eviction.spans.begin();
  const auto length = static_cast<int32_t>(tokens->size());
  for (int32_t p = 0; p <= length; ++p) {
    if (before != gone_.end() && before->at == p) add((before++)->tokens);
    if (p == length) break;
    while (span != eviction.spans.end() && p >= span->end) ++span;
    const TokenId token = (*tokens)[static_cast<size_t>(p)];
    if (span != eviction.spans.end() && p >= span->begin) {
      add({&token, 1});
    } else {
      kept.push_back(token);
    }
  }
  gone_ = std::move(gone);
  *tokens = std::move(kept);
  log_.push_back(eviction);
}

void Window::Rewind(int32_t cp) {
  if (log_.empty()) return;
  Eviction& last = log_.back();
  if (last.is_rewind()) {
    last.cp = std::min(last.cp, cp);
    return;
  }
  int32_t left = last.cp;  // positions that have not been decoded since
  for (const TokenSpan& span : last.spans) {
    left -= std::max(0, std::min(span.end, last.cp) - span.begin);
  }
  if (cp < left) log_.push_back({.cp = cp, .policy = last.policy, .spans = {}});
}

}  // namespace gyrator

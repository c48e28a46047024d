#include "kv/eviction.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "kernels/paged_kv.h"

namespace gyrator {

namespace {

// What neither stays at the front nor at the end.
TokenSpan Between(EvictionPolicy policy, const WindowView& view) {
  GYRATOR_CHECK(view.pinned >= 0 && view.sinks >= 0 && view.newest >= 0 && view.length >= 0);
  const int64_t sinks = policy == EvictionPolicy::kMessage ? 0 : view.sinks;
  const int64_t begin = std::min(view.pinned + sinks, int64_t{view.length});
  const int64_t end = std::max(int64_t{view.length} - view.newest, begin);
  return {static_cast<int32_t>(begin), static_cast<int32_t>(end)};
}

// The atomic span that holds a position; without one, the position alone.
TokenSpan WholeOf(const WindowView& view, int32_t position) {
  const auto behind =
      std::upper_bound(view.atomic.begin(), view.atomic.end(), position,
                       [](int32_t wanted, const TokenSpan& span) { return wanted < span.begin; });
  if (behind != view.atomic.begin() && position < std::prev(behind)->end) return *std::prev(behind);
  return {position, position + 1};
}

bool LiesIn(const TokenSpan& range, const TokenSpan& span) {
  return span.begin >= range.begin && span.end <= range.end;
}

bool Meets(const TokenSpan& unit, std::span<const TokenSpan> spans) {
  return std::any_of(spans.begin(), spans.end(), [&](const TokenSpan& span) {
    return unit.begin < span.end && span.begin < unit.end;
  });
}

// The functions below give what can go in `range`, in the order in which it goes.

std::vector<TokenSpan> Turns(const WindowView& view, const TokenSpan& range) {
  std::vector<TokenSpan> units;
  int32_t begin = -1;
  for (const int32_t turn : view.turns) {
    const bool splits = turn < view.length && WholeOf(view, turn).begin < turn;
    if (turn < range.begin || turn > range.end || splits) continue;
    if (begin >= 0) units.push_back({begin, turn});
    begin = turn;
  }
  for (const TokenSpan& call : view.calls) {
    if (LiesIn(range, call)) units.push_back(call);
  }
  return units;
}

std::vector<TokenSpan> Positions(const WindowView& view, const TokenSpan& range) {
  std::vector<TokenSpan> units;
  for (int32_t position = range.begin; position < range.end;) {
    const TokenSpan unit = WholeOf(view, position);
    if (LiesIn(range, unit) && !Meets(unit, view.kept)) units.push_back(unit);
    position = unit.end;
  }
  return units;
}

// The mean score of the blocks that a span meets; NaN when that of one is not known.
float MeanScore(const WindowView& view, const TokenSpan& span) {
  const int32_t first = span.begin / kBlockPositions;
  const int32_t end = std::min((span.end - 1) / kBlockPositions + 1, view.length / kBlockPositions);
  float sum = 0;
  for (int32_t block = first; block < end; ++block) sum += view.scores[static_cast<size_t>(block)];
  return first < end ? sum / static_cast<float>(end - first)
                     : std::numeric_limits<float>::quiet_NaN();
}

std::vector<TokenSpan> Blocks(const WindowView& view, const TokenSpan& range) {
  GYRATOR_CHECK(std::ssize(view.scores) >= view.length / kBlockPositions);
  std::vector<std::pair<float, TokenSpan>> scored;
  const auto add = [&scored](float score, const TokenSpan& unit) {
    scored.emplace_back(std::isnan(score) ? std::numeric_limits<float>::infinity() : score, unit);
  };
  for (int32_t block = 0; block < view.length / kBlockPositions; ++block) {
    const int32_t first = block * kBlockPositions, last = first + kBlockPositions - 1;
    const TokenSpan unit = {WholeOf(view, first).begin, WholeOf(view, last).end};
    if (!LiesIn(range, unit) || Meets(unit, view.kept) || Meets(unit, view.calls)) continue;
    add(view.scores[static_cast<size_t>(block)], unit);
  }
  for (const TokenSpan& call : view.calls) {
    if (LiesIn(range, call)) add(MeanScore(view, call), call);
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<TokenSpan> units;
  for (const auto& [score, unit] : scored) units.push_back(unit);
  return units;
}

std::vector<TokenSpan> Units(EvictionPolicy policy, const WindowView& view) {
  const TokenSpan range = Between(policy, view);
  switch (policy) {
    case EvictionPolicy::kMessage:
      return Turns(view, range);
    case EvictionPolicy::kScore:
      return Blocks(view, range);
    default:
      return Positions(view, range);
  }
}

// A set of positions.
class PositionSet {
 public:
  explicit PositionSet(int32_t length) : taken_(static_cast<size_t>(length), false) {}

  void Take(const TokenSpan& span) {
    for (int32_t p = span.begin; p < span.end; ++p) {
      count_ += taken_[static_cast<size_t>(p)] ? 0 : 1;
      taken_[static_cast<size_t>(p)] = true;
    }
  }
  int32_t count() const { return count_; }
  std::vector<TokenSpan> Spans() const {
    std::vector<TokenSpan> spans;
    for (int32_t p = 0; p < std::ssize(taken_); ++p) {
      if (!taken_[static_cast<size_t>(p)]) continue;
      if (!spans.empty() && spans.back().end == p) {
        ++spans.back().end;
      } else {
        spans.push_back({p, p + 1});
      }
    }
    return spans;
  }

 private:
  std::vector<bool> taken_;
  int32_t count_ = 0;
};

}  // namespace

Result<std::vector<TokenSpan>> PlanEviction(EvictionPolicy policy, const WindowView& view,
                                            int32_t need) {
  GYRATOR_CHECK(need >= 0);
  const std::vector<TokenSpan> units = Units(policy, view);
  PositionSet all(view.length), plan(view.length);
  for (const TokenSpan& unit : units) all.Take(unit);
  const int32_t movable = all.count();
  if (need > movable) {
    return Status::Exhausted(
               "capacity: " + std::to_string(need) + " of the prompt's " +
               std::to_string(view.length) + " tokens have to leave the window, and only " +
               std::to_string(movable) + " may; use a shorter text or a larger capacity (-c)")
        .Named("capacity");
  }
  const int32_t share = policy == EvictionPolicy::kSink ? movable - movable / 2 : (movable + 3) / 4;
  const int32_t wanted = std::max(need, share);
  for (auto unit = units.begin(); plan.count() < wanted; ++unit) plan.Take(*unit);
  return plan.Spans();
}

}  // namespace gyrator

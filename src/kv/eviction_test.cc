#include "kv/eviction.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

namespace gyrator {
namespace {

using Spans = std::vector<TokenSpan>;
using enum EvictionPolicy;

Spans Plan(EvictionPolicy policy, const WindowView& view, int32_t need) {
  const auto plan = PlanEviction(policy, view, need);
  EXPECT_TRUE(plan.ok()) << plan.status().ToString();
  return plan.ok() ? *plan : Spans{};
}

TEST(Eviction, FifoTakesTheOldest) {
  const WindowView view = {.length = 100, .pinned = 10, .sinks = 4, .newest = 20};  // 66 movable
  EXPECT_EQ((Spans{{14, 31}}), Plan(kFifo, view, 3));                               // a quarter
  EXPECT_EQ((Spans{{14, 64}}), Plan(kFifo, view, 50));
  EXPECT_EQ((Spans{{14, 80}}), Plan(kFifo, view, 66));
}

TEST(Eviction, SinkKeepsTheNewestHalf) {
  const WindowView view = {.length = 100, .pinned = 10, .sinks = 4, .newest = 21};  // 65 movable
  EXPECT_EQ((Spans{{14, 47}}), Plan(kSink, view, 3));
  EXPECT_EQ((Spans{{14, 64}}), Plan(kSink, view, 50));
}

TEST(Eviction, MessageTakesWholeTurnsAndNoSinks) {
  const WindowView view = {.length = 100,
                           .pinned = 8,
                           .sinks = 4,
                           .newest = 20,
                           .turns = {0, 10, 15, 40, 70, 90}};  // 10 to 70 is movable
  EXPECT_EQ((Spans{{10, 40}}), Plan(kMessage, view, 1));
  EXPECT_EQ((Spans{{10, 40}}), Plan(kMessage, view, 30));
  EXPECT_EQ((Spans{{10, 70}}), Plan(kMessage, view, 31));
}

TEST(Eviction, CallsOfTheNewestTurnGoBehindTheTurnsOldestFirst) {
  const WindowView view = {.length = 200,
                           .pinned = 10,
                           .sinks = 4,
                           .newest = 30,
                           .atomic = {{90, 110}, {110, 130}, {140, 160}},
                           .turns = {10, 40, 80},
                           .kept = {{80, 90}, {130, 140}},
                           .calls = {{90, 110}, {110, 130}, {140, 160}}};
  EXPECT_EQ((Spans{{10, 80}}), Plan(kMessage, view, 50));
  EXPECT_EQ((Spans{{10, 80}, {90, 110}}), Plan(kMessage, view, 71));
  EXPECT_EQ((Spans{{10, 80}, {90, 130}, {140, 160}}), Plan(kMessage, view, 130));
  EXPECT_EQ(Code::kExhausted, PlanEviction(kMessage, view, 131).status().code());
  EXPECT_EQ((Spans{{14, 80}, {90, 110}}), Plan(kFifo, view, 67));
  EXPECT_EQ((Spans{{14, 80}, {90, 130}, {140, 170}}), Plan(kFifo, view, 136));
  EXPECT_EQ((Spans{{14, 80}, {90, 110}}), Plan(kSink, view, 70));
}

TEST(Eviction, WhatIsKeptStaysUnderEveryPolicy) {
  for (const EvictionPolicy policy : {kFifo, kSink, kScore}) {
    const WindowView view = {.length = 128,
                             .pinned = 0,
                             .sinks = 0,
                             .newest = 16,
                             .scores = std::vector<float>(8, 1.0f),
                             .kept = {{20, 30}, {64, 65}}};
    for (int32_t need = 0; need <= 60; need += 20) {
      for (const TokenSpan& span : Plan(policy, view, need)) {
        EXPECT_TRUE(span.end <= 20 || span.begin >= 30) << need;
        EXPECT_TRUE(span.end <= 64 || span.begin >= 65) << need;
      }
    }
  }
}

// A call is no block: it goes as a whole, and is worth the mean of what it meets.
TEST(Eviction, ScoreTakesCallsByTheMeanOfTheirBlocks) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  WindowView view = {.length = 96,
                     .pinned = 16,
                     .newest = 16,
                     .atomic = {{20, 40}, {40, 70}},
                     .scores = {9, 8, 1, 2, 3, 9},
                     .kept = {{16, 20}},
                     .calls = {{20, 40}, {40, 70}}};
  EXPECT_EQ((Spans{{40, 70}}), Plan(kScore, view, 1));  // (1 + 2 + 3) / 3 before (8 + 1) / 2
  EXPECT_EQ((Spans{{20, 70}}), Plan(kScore, view, 31));
  view.scores = {9, 1, 1, nan, 3, 9};
  EXPECT_EQ((Spans{{20, 40}}), Plan(kScore, view, 1));
  view.scores = {9, 4, 1, 2, 3, 99};  // the block behind the second call is none of its own
  EXPECT_EQ((Spans{{40, 70}}), Plan(kScore, view, 1));
}

TEST(Eviction, ScoreTakesTheLowestBlocksTiesToTheOldest) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const WindowView view = {.length = 130,
                           .pinned = 10,
                           .sinks = 6,
                           .newest = 10,
                           .scores = {0, 5, 2, nan, 1, 2, 9, 0}};  // 16 to 112 is whole: 96 movable
  EXPECT_EQ((Spans{{32, 48}, {64, 80}}), Plan(kScore, view, 0));
  EXPECT_EQ((Spans{{32, 48}, {64, 96}}), Plan(kScore, view, 33));
  EXPECT_EQ((Spans{{16, 48}, {64, 96}}), Plan(kScore, view, 64));
  EXPECT_EQ((Spans{{16, 48}, {64, 112}}), Plan(kScore, view, 80));
  EXPECT_EQ((Spans{{16, 112}}), Plan(kScore, view, 81));  // what has no score goes last
}

TEST(Eviction, AtomicSpansGoWholeOrNotAtAll) {
  WindowView view = {.length = 100, .pinned = 10, .sinks = 4, .newest = 20};
  view.atomic = {{12, 18}, {20, 50}, {75, 85}};  // the first and the last reach out
  EXPECT_EQ((Spans{{18, 50}}), Plan(kFifo, view, 3));
  EXPECT_EQ((Spans{{18, 75}}), Plan(kFifo, view, 57));
  EXPECT_EQ("capacity", PlanEviction(kFifo, view, 58).status().name());
  view.turns = {10, 18, 30, 55, 70, 80};  // 30 and 80 are within a span
  EXPECT_EQ((Spans{{10, 55}}), Plan(kMessage, view, 10));
  view.scores = {0, 0, 3, 2, 1, 0};
  EXPECT_EQ((Spans{{20, 50}}), Plan(kScore,
                                    {.length = 96,
                                     .pinned = 17,
                                     .newest = 32,
                                     .atomic = {{20, 50}, {60, 70}},
                                     .scores = view.scores},
                                    1));  // the block 32 to 48, and what it meets
}

TEST(Eviction, WhatCannotBeFreedIsNamed) {
  const WindowView view = {.length = 50, .pinned = 10, .sinks = 4, .newest = 29, .turns = {10, 17}};
  const Status status = PlanEviction(kFifo, view, 8).status();
  EXPECT_EQ(Code::kExhausted, status.code());
  EXPECT_EQ("capacity", status.name());
  EXPECT_NE(std::string::npos, status.message().find("8 of the prompt's 50 tokens"))
      << status.message();
  EXPECT_NE(std::string::npos, status.message().find("only 7 may")) << status.message();
  EXPECT_EQ((Spans{{14, 21}}), Plan(kFifo, view, 7));
  EXPECT_EQ((Spans{{10, 17}}), Plan(kMessage, view, 7));
  EXPECT_FALSE(PlanEviction(kMessage, view, 8).ok());
  const WindowView all_stays = {.length = 5, .pinned = INT32_MAX, .sinks = INT32_MAX, .newest = 9};
  EXPECT_TRUE(Plan(kSink, all_stays, 0).empty());
  EXPECT_FALSE(PlanEviction(kSink, all_stays, 1).ok());
}

// --- properties

using Positions = std::set<int32_t>;

Positions Between(int32_t begin, int32_t end) {
  Positions positions;
  for (int32_t p = begin; p < end; ++p) positions.insert(p);
  return positions;
}

Positions Union(const Spans& spans) {
  Positions positions;
  for (const TokenSpan& span : spans) positions.merge(Between(span.begin, span.end));
  return positions;
}

Spans AnySpans(int32_t length) {
  auto ends = *rc::gen::container<std::vector<int32_t>>(2 * *rc::gen::inRange<size_t>(0, 6),
                                                        rc::gen::inRange(0, length + 1));
  std::sort(ends.begin(), ends.end());
  Spans spans;
  for (size_t i = 0; i < ends.size(); i += 2) {
    if (ends[i] < ends[i + 1]) spans.push_back({ends[i], ends[i + 1]});
  }
  return spans;
}

WindowView AnyView() {
  WindowView view;
  view.length = *rc::gen::inRange(0, 200);
  view.pinned = *rc::gen::inRange(0, 30);
  view.sinks = *rc::gen::inRange(0, 8);
  view.newest = *rc::gen::inRange(0, 60);
  view.atomic = AnySpans(view.length);
  const auto turns = *rc::gen::container<std::set<int32_t>>(rc::gen::inRange(0, view.length + 1));
  view.turns.assign(turns.begin(), turns.end());
  for (int32_t block = 0; block < view.length / 16; ++block) {
    const int score = *rc::gen::inRange(0, 6);
    view.scores.push_back(score == 5 ? std::nanf("") : static_cast<float>(score));
  }
  return view;
}

int32_t FirstOf(EvictionPolicy policy, const WindowView& view) {
  return view.pinned + (policy == kMessage ? 0 : view.sinks);
}

// What may go, by the definitions alone.
Positions Movable(EvictionPolicy policy, const WindowView& view) {
  const int32_t first = FirstOf(policy, view), last = view.length - view.newest;
  if (policy == kMessage) {
    Positions turns;
    for (const int32_t turn : view.turns) {
      const bool splits = std::any_of(
          view.atomic.begin(), view.atomic.end(),
          [turn](const TokenSpan& span) { return span.begin < turn && turn < span.end; });
      if (turn >= first && turn <= last && !splits) turns.insert(turn);
    }
    return turns.empty() ? Positions() : Between(*turns.begin(), *turns.rbegin());
  }
  Positions movable = Between(first, last);
  for (const TokenSpan& span : view.atomic) {
    if (span.begin >= first && span.end <= last) continue;
    for (int32_t p = span.begin; p < span.end; ++p) movable.erase(p);
  }
  if (policy != kScore) return movable;
  Positions of_blocks;
  for (int32_t begin = 0; begin + 16 <= view.length; begin += 16) {
    Positions block = Between(begin, begin + 16);
    if (!std::includes(movable.begin(), movable.end(), block.begin(), block.end())) continue;
    for (const TokenSpan& span : view.atomic) {
      if (span.begin < begin + 16 && span.end > begin) block.merge(Between(span.begin, span.end));
    }
    of_blocks.merge(block);
  }
  return of_blocks;
}

// Of two blocks that may go, one that stays has no lower score than one that went, unless that one
// went for an atomic span.
void CheckScores(const WindowView& view, const Positions& gone, const Positions& movable) {
  float highest = -1;
  float lowest_kept = std::numeric_limits<float>::infinity();
  for (int32_t block = 0; block < view.length / 16; ++block) {
    const Positions all = Between(block * 16, block * 16 + 16);
    if (!std::includes(movable.begin(), movable.end(), all.begin(), all.end())) continue;
    const bool went = std::includes(gone.begin(), gone.end(), all.begin(), all.end());
    const bool meets = std::any_of(view.atomic.begin(), view.atomic.end(), [&](const auto& span) {
      return span.begin < block * 16 + 16 && span.end > block * 16;
    });
    const float raw = view.scores[static_cast<size_t>(block)];
    const float score = std::isnan(raw) ? std::numeric_limits<float>::infinity() : raw;
    if (went && !meets) highest = std::max(highest, score);
    if (!went) lowest_kept = std::min(lowest_kept, score);
  }
  RC_ASSERT(highest <= lowest_kept);
}

void CheckOrder(EvictionPolicy policy, const WindowView& view, const Positions& gone,
                const Positions& movable) {
  if (gone.empty()) return;
  if (policy == kScore) return CheckScores(view, gone, movable);
  for (const int32_t p : movable) {  // the oldest first
    if (p < *gone.rbegin()) RC_ASSERT(gone.contains(p));
  }
  if (policy != kMessage) return;
  const auto is_turn = [&](int32_t p) {
    return std::find(view.turns.begin(), view.turns.end(), p) != view.turns.end();
  };
  RC_ASSERT(is_turn(*gone.begin()));
  RC_ASSERT(is_turn(*gone.rbegin() + 1));
}

struct Counts {
  int planned = 0;
  int refused = 0;
};

void CheckOnePlan(Counts* counts) {
  const WindowView view = AnyView();
  const auto policy = *rc::gen::element(kMessage, kFifo, kSink, kScore);
  const int32_t need = *rc::gen::inRange(0, 120);
  const auto plan = PlanEviction(policy, view, need);
  const Positions movable = Movable(policy, view);
  const auto movable_count = static_cast<int32_t>(movable.size());
  if (!plan.ok()) {
    ++counts->refused;
    RC_ASSERT(need > movable_count);
    RC_ASSERT(plan.status().name() == "capacity");
    return;
  }
  ++counts->planned;
  RC_ASSERT(need <= movable_count);
  for (size_t i = 0; i < plan->size(); ++i) {
    RC_ASSERT((*plan)[i].begin < (*plan)[i].end);
    if (i > 0) RC_ASSERT((*plan)[i - 1].end < (*plan)[i].begin);
  }
  const Positions gone = Union(*plan);
  RC_ASSERT(std::includes(movable.begin(), movable.end(), gone.begin(), gone.end()));
  RC_ASSERT(std::ssize(gone) >= std::max(need, (movable_count + 3) / 4));
  if (policy == kSink) RC_ASSERT(std::ssize(gone) * 2 >= movable_count);
  for (const int32_t p : gone) {
    RC_ASSERT(p >= FirstOf(policy, view));
    RC_ASSERT(p < view.length - view.newest);
  }
  for (const TokenSpan& span : view.atomic) {
    const bool first = gone.contains(span.begin);
    for (int32_t p = span.begin; p < span.end; ++p) RC_ASSERT(gone.contains(p) == first);
  }
  CheckOrder(policy, view, gone, movable);
}

TEST(EvictionProperties, EveryPlanKeepsItsPromises) {
  Counts counts;
  bool holds = true;
  while (holds && counts.planned < 5000)
    holds = rc::check("promises", [&] { CheckOnePlan(&counts); });
  EXPECT_TRUE(holds);
  EXPECT_GT(counts.refused, 500);
}

// Of single positions not one more goes than was asked for.
TEST(EvictionProperties, NothingGoesInVain) {
  EXPECT_TRUE(rc::check("no more than wanted", [] {
    WindowView view = AnyView();
    view.atomic.clear();
    const int32_t need = *rc::gen::inRange(0, 120);
    for (const EvictionPolicy policy : {kFifo, kSink}) {
      const auto plan = PlanEviction(policy, view, need);
      if (!plan.ok()) continue;
      const auto movable = static_cast<int32_t>(Movable(policy, view).size());
      const int32_t share = policy == kSink ? (movable + 1) / 2 : (movable + 3) / 4;
      RC_ASSERT(LengthOf(*plan) == std::max(need, share));
    }
  }));
}

}  // namespace
}  // namespace gyrator

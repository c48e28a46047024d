#include "engine/scheduler.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>

namespace gyrator {
namespace {

std::vector<std::pair<int, int>> Plan(std::vector<PendingRows> pending, int32_t budget) {
  std::vector<std::pair<int, int>> out;
  for (const PlannedRows& item : PlanRows(pending, budget))
    out.push_back({item.request, item.rows});
  return out;
}

using Pairs = std::vector<std::pair<int, int>>;

TEST(PlanRows, DecodesFirst) {
  EXPECT_EQ((Pairs{{1, 1}, {2, 1}, {0, 6}}), Plan({{9, 99}, {1, 99}, {1, 99}}, 8));
}

TEST(PlanRows, PromptsShareWhatIsLeft) {
  EXPECT_EQ((Pairs{{0, 50}, {1, 50}}), Plan({{900, 512}, {900, 512}}, 100));
}

TEST(PlanRows, WhatAShortPromptLeavesGoesToALongOne) {
  EXPECT_EQ((Pairs{{1, 10}, {0, 90}}), Plan({{900, 512}, {10, 512}}, 100));
}

TEST(PlanRows, PromptsAreCutToTheirOwnLimit) {
  EXPECT_EQ((Pairs{{0, 4}, {1, 9}}), Plan({{9, 4}, {9, 99}}, 70));
}

TEST(PlanRows, FewRowsAreNotSplit) {
  EXPECT_EQ((Pairs{{0, 40}}), Plan({{900, 512}, {900, 512}}, 40));
}

TEST(PlanRows, NothingPendingIsAnEmptyPlan) { EXPECT_EQ(Pairs{}, Plan({{0, 1}, {0, 1}}, 8)); }

TEST(PlanRows, NeverMoreThanTheBudget) { EXPECT_EQ((Pairs{{0, 1}}), Plan({{1, 1}, {1, 1}}, 1)); }

TEST(PlanRows, WhoHasWaitedLongestGoesFirst) {
  EXPECT_EQ((Pairs{{2, 1}, {1, 1}}), Plan({{1, 1, 9}, {1, 1, 8}, {1, 1, 7}}, 2));
  EXPECT_EQ((Pairs{{1, 40}}), Plan({{900, 512, 9}, {900, 512, 8}}, 40));
}

// Any mix of requests: each ends, none waits for more passes than there are requests, decodes never
// wait for prompts, and no pass leaves rows free that somebody wants.
int rows_planned = 0;  // in all cases: one for each request of each pass

void NobodyStarves() {
  const auto lengths = *rc::gen::nonEmpty(rc::gen::container<std::vector<int32_t>>(
      rc::gen::weightedOneOf<int32_t>({{2, rc::gen::just(1)}, {1, rc::gen::inRange(2, 2000)}})));
  const auto budget = *rc::gen::inRange(1, 600);
  const auto chunk = *rc::gen::inRange(1, 512);
  std::vector<PendingRows> pending;
  for (int32_t rows : lengths) pending.push_back({rows, chunk, 0});
  const auto limit = static_cast<uint64_t>(pending.size());
  for (uint64_t pass = 1;; ++pass) {
    const auto plan = PlanRows(pending, budget);
    if (plan.empty()) break;
    int32_t used = 0;
    rows_planned += static_cast<int>(plan.size());
    std::set<int32_t> seen;
    for (const PlannedRows& item : plan) {
      PendingRows& rows = pending[static_cast<size_t>(item.request)];
      RC_ASSERT(item.rows > 0 && item.rows <= std::min(rows.rows, rows.rows_max));
      RC_ASSERT(seen.insert(item.request).second);
      used += item.rows;
    }
    RC_ASSERT(used <= budget);
    for (size_t i = 0; i < pending.size(); ++i) {
      const bool planned = seen.count(static_cast<int32_t>(i)) > 0;
      if (pending[i].rows == 1 && !planned) RC_ASSERT(used == budget);
      if (pending[i].rows > 0 && !planned && pending[i].rows != 1) {
        RC_ASSERT(pass - pending[i].served <= limit + static_cast<uint64_t>(lengths.size()));
      }
    }
    for (const PlannedRows& item : plan) {
      PendingRows& rows = pending[static_cast<size_t>(item.request)];
      rows.rows -= item.rows;
      rows.served = pass;
    }
  }
  for (const PendingRows& rows : pending) RC_ASSERT(rows.rows == 0);
}

TEST(PlanRows, NobodyStarves) {
  rows_planned = 0;
  while (rows_planned < 100000) ASSERT_TRUE(rc::check("nobody starves", NobodyStarves));
}

}  // namespace
}  // namespace gyrator

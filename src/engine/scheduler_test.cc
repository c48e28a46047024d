#include "engine/scheduler.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <set>

namespace gyrator {
namespace {

std::vector<std::pair<int, int>> Plan(std::vector<PendingRows> pending, int32_t budget) {
  std::vector<std::pair<int, int>> out;
  for (const PlannedRows& item : PlanRows(pending, {budget, budget}))
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

TEST(PlanRows, PromptsHaveABudgetOfTheirOwnAndDecodesDoNotCountAgainstIt) {
  std::vector<PendingRows> pending(20, {1, 99});
  pending.push_back({900, 512});
  const auto plan = PlanRows(pending, {512, 3});
  ASSERT_EQ(21u, plan.size());
  EXPECT_EQ(20, plan.back().request);
  EXPECT_EQ(3, plan.back().rows);
  EXPECT_EQ(1, PlanRows(pending, {512, 1}).back().rows);
  EXPECT_EQ(492, PlanRows(pending, {512, 512}).back().rows);  // what the decodes leave
}

constexpr uint64_t kMs = 1'000'000;

TEST(PassSize, TheFirstGuessFollowsTheSizeOfTheModel) {
  EXPECT_EQ(512, PassSize(512, 9e6).rows());    // the shipped model
  EXPECT_EQ(29, PassSize(512, 0.27e9).rows());  // 135 million weights
  EXPECT_EQ(1, PassSize(512, 140e9).rows());
}

// A machine that takes so long for a row: within a few passes a pass takes between a tenth of a
// second and half a second, or is one row, or is as large as it may be.
TEST(PassSize, SettlesWithinHalfASecondWhateverARowTakes) {
  for (const uint64_t row_ns : {10'000ull, 300'000ull, 900'000ull, 7'000'000ull, 60'000'000ull,
                                250'000'000ull, 499'000'000ull, 3'000'000'000ull}) {
    for (const double first : {9e6, 0.27e9, 140e9}) {
      PassSize size(512, first);
      for (int pass = 0; pass < 6; ++pass) {
        const int32_t rows = size.rows();
        size.Took(rows, rows, static_cast<uint64_t>(rows) * row_ns);
      }
      const uint64_t took = static_cast<uint64_t>(size.rows()) * row_ns;
      EXPECT_TRUE(size.rows() == 1 || took <= 500 * kMs) << row_ns << " " << first;
      EXPECT_TRUE(size.rows() == 512 || 2 * took >= 400 * kMs) << row_ns << " " << first;
    }
  }
}

TEST(PassSize, AShortLastChunkAndDecodesSayNothingOfALongOne) {
  PassSize size(512, 0.27e9);
  for (int pass = 0; pass < 4; ++pass) size.Took(size.rows(), size.rows(), 390 * kMs);
  const int32_t rows = size.rows();
  size.Took(3, 3, 30 * kMs);  // ten a row, most of it for reading the weights
  EXPECT_EQ(rows, size.rows());
  size.Took(0, 64, 2000 * kMs);  // decodes alone
  EXPECT_EQ(rows, size.rows());
}

TEST(PassSize, WhatDecodesBesideAPromptIsNotThePromptsTime) {
  PassSize size(512, 0.27e9);
  size.Took(29, 29 + 29, 800 * kMs);  // half of it the prompt's
  EXPECT_EQ(29, size.rows());
  size.Took(29, 29, 800 * kMs);
  EXPECT_EQ(14, size.rows());
}

TEST(PassSize, GrowsAgainWhenAPassWasSlowByChance) {
  PassSize size(512, 9e6);
  size.Took(512, 512, 60'000 * kMs);
  EXPECT_EQ(3, size.rows());
  for (int pass = 0; pass < 3; ++pass) size.Took(size.rows(), size.rows(), kMs);
  EXPECT_EQ(512, size.rows());
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
    const auto plan = PlanRows(pending, {budget, budget});
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

#include "engine/scheduler.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

std::vector<std::pair<int, int>> Plan(std::vector<PendingRows> pending, int32_t budget) {
  std::vector<std::pair<int, int>> out;
  for (const PlannedRows& item : PlanRows(pending, budget))
    out.push_back({item.request, item.rows});
  return out;
}

using Pairs = std::vector<std::pair<int, int>>;

TEST(PlanRows, DecodesFirstThenPromptsInOrder) {
  EXPECT_EQ((Pairs{{1, 1}, {3, 1}, {0, 6}}), Plan({{9, 99}, {1, 99}, {9, 99}, {1, 99}}, 8));
}

TEST(PlanRows, PromptsAreCutToTheirOwnLimit) {
  EXPECT_EQ((Pairs{{0, 4}, {1, 4}}), Plan({{9, 4}, {9, 99}}, 8));
}

TEST(PlanRows, NothingPendingIsAnEmptyPlan) { EXPECT_EQ(Pairs{}, Plan({{0, 1}, {0, 1}}, 8)); }

TEST(PlanRows, NeverMoreThanTheBudget) { EXPECT_EQ((Pairs{{0, 1}}), Plan({{1, 1}, {1, 1}}, 1)); }

}  // namespace
}  // namespace gyrator

#include "schedule.h"

#include <gtest/gtest.h>

#include <set>

namespace gyrator::train {
namespace {

TEST(Schedule, WarmsUpStaysAndDecays) {
  const Schedule schedule{.peak = 1.0, .warmup_steps = 10, .steps = 100, .decay_steps = 40};
  EXPECT_DOUBLE_EQ(LearningRate(schedule, 0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(schedule, 9), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(schedule, 60), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(schedule, 80), 0.5);
  EXPECT_DOUBLE_EQ(LearningRate(schedule, 99), 1.0 / 40);
}

TEST(Schedule, WithoutDecayStaysAtThePeak) {
  EXPECT_DOUBLE_EQ(
      LearningRate({.peak = 1.0, .warmup_steps = 1, .steps = 100, .decay_steps = 0}, 99), 1.0);
}

TEST(Schedule, RowsGrowWithTheTokensSeen) {
  std::set<int32_t> early, late;
  for (int64_t step = 0; step < 300; ++step) {
    const BatchShape first = DrawBatchShape(1, step, 0), last = DrawBatchShape(1, step, 20'000'000);
    early.insert(first.row_tokens);
    late.insert(last.row_tokens);
    EXPECT_EQ(first.rows * first.row_tokens, 2048);
    EXPECT_EQ(last.rows * last.row_tokens, 8192);
  }
  EXPECT_LE(*early.rbegin(), 256);
  EXPECT_EQ(*late.rbegin(), 2048);
  EXPECT_GE(late.size(), 4u);
}

}  // namespace
}  // namespace gyrator::train

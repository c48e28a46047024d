#include "kernels/limits.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

TEST(Limits, AreOfTheOrderOfAMachine) {
  const Ops& ops = *FindOps("auto");
  const Limits limits = MeasureLimits(ops, 2);
  EXPECT_EQ(limits.isa, ops.name);
  EXPECT_EQ(limits.num_threads, 2);
  EXPECT_EQ(limits.reads.size(), 10u);
  for (const ReadLimit& read : limits.reads) {
    EXPECT_GT(read.gb_s.one_thread, 0.1);
    EXPECT_LT(read.gb_s.one_thread, 2000.0);
    EXPECT_LE(read.gb_s.all_threads, limits.BestReadGbS());
  }
  for (const Limit& peak : {limits.f32_gflop_s, limits.bf16_gflop_s, limits.int8_gop_s}) {
    EXPECT_GT(peak.one_thread, 0.5);
    EXPECT_LT(peak.all_threads, 1e6);
  }
}

}  // namespace
}  // namespace gyrator

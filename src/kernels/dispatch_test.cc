#include <xmmintrin.h>

#include <algorithm>
#include <set>

#include "kernels/cpu.h"
#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

TEST(Dispatch, ListsEachNameOnceSlowestFirst) {
  const auto available = AvailableOps();
  ASSERT_FALSE(available.empty());
  EXPECT_EQ(available.front(), &RefOps());
  std::set<std::string_view> names;
  for (const Ops* ops : available) {
    EXPECT_TRUE(names.insert(ops->name).second) << ops->name;
    EXPECT_EQ(FindOps(ops->name), ops);
  }
  EXPECT_EQ(FindOps("auto"), available.back());
  EXPECT_EQ(names.contains("avx2"), Cpu().avx2);
  EXPECT_EQ(names.contains("avx512"), Cpu().avx512);
  EXPECT_TRUE(names.contains("amx"));  // by its twin where the CPU has none
  EXPECT_EQ(available.back()->name, Cpu().amx      ? "amx"
                                    : Cpu().avx512 ? "avx512"
                                    : Cpu().avx2   ? "avx2"
                                                   : "amx");
}

TEST(Dispatch, UnknownNamesAreNull) {
  for (std::string_view name : {"", "AVX2", "avx", "neon", "avx2 "})
    EXPECT_EQ(FindOps(name), nullptr);
}

TEST(Dispatch, NamesTheBf16Numerics) {
  for (const Ops* ops : AvailableOps()) {
    EXPECT_EQ(ops->bf16_numerics, ops->name == "amx" ? "bf16.amx.v1" : "bf16.dp.v1");
  }
}

// tests/run.sh tells it beside the count: a pass on this machine says nothing of those.
TEST(Dispatch, WhatThisCpuLacksIsTestedByTwinsAndTold) {
  std::set<std::string_view> tested;
  for (const Ops* ops : TestedOps()) tested.insert(ops->name);
  std::string twins;
  if (!Cpu().avx2) twins += " avx2";
  if (!Cpu().avx512) twins += " avx512";
  if (!Cpu().amx) twins += " amx";
  const bool plain = Cpu().avx512 && !Cpu().prefetch, prefetching = Cpu().avx512 && Cpu().prefetch;
  EXPECT_EQ(Cpu().avx2 && !plain, tested.contains("avx512-emulated"));
  EXPECT_EQ(Cpu().avx2 && !prefetching, tested.contains("avx512-emulated-prefetch"));
  EXPECT_TRUE(tested.contains(Cpu().amx ? "amx-twin" : "amx"));
  RecordProperty("never_ran_here", twins);
}

TEST(FloatEnvironment, OverridesAHostileCallerAndRestoresIt) {
  const uint32_t before = _mm_getcsr();
  constexpr uint32_t kRoundUp = 0x4000, kMasked = 0x1f80;
  _mm_setcsr(kMasked | kRoundUp);
  {
    const FloatEnvironment environment;
    EXPECT_EQ(_mm_getcsr() & ~0x3fu, 0x1f80u | 0x8040u);  // nearest, flush, masked
    volatile float tiny = 1e-30f;
    EXPECT_EQ(tiny * tiny * 1e20f, 0.0f);
    volatile float third = 1.0f;
    EXPECT_EQ(third / 3.0f, 0x1.555556p-2f);  // nearest; upward would be the same, downward not
    {
      const FloatEnvironment inner;
      EXPECT_EQ(_mm_getcsr() & 0x6000u, 0u);
    }
    EXPECT_EQ(_mm_getcsr() & 0x6000u, 0u);
  }
  EXPECT_EQ(_mm_getcsr() & ~0x3fu, kMasked | kRoundUp);
  _mm_setcsr(before);
}

}  // namespace
}  // namespace gyrator

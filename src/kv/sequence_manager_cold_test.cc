// Prefixes that went to the swap file, seen from the sequences that begin with them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "kv/manager_testing.h"

namespace gyrator {
namespace {

TEST(SequenceManagerCold, AColdPrefixIsReadNotDecoded) {
  Kv kv(8, 3, INT32_MAX, 20);
  const SlotId a = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 100)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  const SlotId b = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(b, Ramp(500, 100)));  // takes seven of the eight blocks
  EXPECT_EQ(6, kv.manager.counts().blocks_cold);
  EXPECT_EQ(6u, kv.manager.counts().blocks_cooled);
  ASSERT_TRUE(kv.manager.Close(b).ok());
  const SlotId c = *kv.manager.Open("m", 128);
  EXPECT_EQ(99, kv.manager.Find(c, Ramp(1, 100)).cached);
  kv.decoded = 0;
  ASSERT_TRUE(kv.Decode(c, Ramp(1, 100)));
  EXPECT_EQ(1, kv.decoded);
  EXPECT_EQ(99, kv.last.cached);
  EXPECT_EQ(6u, kv.manager.counts().blocks_warmed);
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(c)));
  std::string why;
  EXPECT_TRUE(kv.manager.Check(&why)) << why;
}

TEST(SequenceManagerCold, WhatIsColdButDoesNotFitIsDecoded) {
  Kv kv(8, 3, INT32_MAX, 20);
  const SlotId a = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 64)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  const SlotId b = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(b, Ramp(500, 112)));
  kv.manager.SetBusy(b, true);  // it stays: one block is free
  const SlotId c = *kv.manager.Open("m", 128);
  EXPECT_EQ(63, kv.manager.Find(c, Ramp(1, 64)).cached);
  EXPECT_EQ(16, kv.manager.Sync(c, Ramp(1, 64)).cached);
  EXPECT_EQ(16, kv.manager.sequence(c).cp());
}

TEST(SequenceManagerCold, OnlyWhatIsWantedIsReadAndNothingOfItMakesRoom) {
  Kv kv(8, 3, INT32_MAX, 30);
  const SlotId a = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 96)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Park(a).ok());
  EXPECT_EQ(6, kv.manager.radix().Evict(6, kv.manager.now()));
  ASSERT_TRUE(kv.manager.Resume(a).ok());
  EXPECT_EQ(96, kv.manager.Sync(a, Ramp(1, 100)).own);  // it has all of it itself
  EXPECT_EQ(0u, kv.manager.counts().blocks_warmed);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  kv.manager.radix().Warm("m", Ramp(1, 48), kv.manager.now());  // half of it
  const SlotId b = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(b, Ramp(500, 48)));
  kv.manager.SetBusy(b, true);
  const SlotId c = *kv.manager.Open("m", 128);
  EXPECT_EQ(80, kv.manager.Sync(c, Ramp(1, 97)).cached);  // two blocks were free
  EXPECT_EQ(6u, kv.manager.counts().blocks_cooled);
}

TEST(SequenceManagerCold, ASharedBlockIsTakenFromTheTreeThoughColdOnesHangFromIt) {
  Kv kv(8, 3, INT32_MAX, 30);
  const SlotId a = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 40)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  std::vector<TokenId> other = Ramp(500, 128);  // all of the pool
  std::copy_n(Ramp(1, 5).begin(), 5, other.begin());
  const SlotId b = *kv.manager.Open("m", 128);
  EXPECT_TRUE(kv.Decode(b, other));
  EXPECT_EQ(5, kv.last.cached);
}

TEST(SequenceManagerCold, ParkedSequencesTakeTheRoomOfColdPrefixes) {
  Kv kv(8, 3, INT32_MAX, 7);
  const SlotId a = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 100)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  const SlotId b = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(b, Ramp(500, 112)));
  EXPECT_EQ(6, kv.manager.counts().blocks_cold);
  ASSERT_TRUE(kv.manager.Park(b).ok());
  EXPECT_EQ(7u, kv.swap->stats().blocks_in_use);
  EXPECT_EQ(0, kv.manager.counts().blocks_cold);
  ASSERT_TRUE(kv.manager.Resume(b).ok());
  EXPECT_EQ(112, kv.manager.sequence(b).cp());
  std::string why;
  EXPECT_TRUE(kv.manager.Check(&why)) << why;
}

TEST(SequenceManagerCold, ADamagedColdPrefixIsDecodedAgain) {
  Kv kv(8, 3, INT32_MAX, 20);
  const SlotId a = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(a, Ramp(1, 40)));
  kv.manager.Publish(a);
  ASSERT_TRUE(kv.manager.Close(a).ok());
  EXPECT_EQ(3, kv.manager.radix().Evict(3, kv.manager.now()));
  ASSERT_EQ(1, ::pwrite(DescriptorOf(*kv.swap), "x", 1, FakeBytes::kBlockBytes));  // the second
  const SlotId b = *kv.manager.Open("m", 128);
  kv.decoded = 0;
  ASSERT_TRUE(kv.Decode(b, Ramp(1, 40)));
  EXPECT_EQ(24, kv.decoded);
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(b)));
}

}  // namespace
}  // namespace gyrator

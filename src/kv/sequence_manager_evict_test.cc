// SequenceManager::Evict: what may and what may not be done with a sequence whose K and V are no
// function of its tokens any more.
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "kv/manager_testing.h"

namespace gyrator {
namespace {

using Spans = std::vector<TokenSpan>;

const Spans kGap = {{20, 30}, {41, 42}};

struct Evicted : Kv {
  using Kv::Kv;

  // A sequence of 60 tokens without those of kGap.
  SlotId Open(TokenId first = 1) {
    const SlotId slot = *manager.Open("m", 128);
    EXPECT_TRUE(Decode(slot, Ramp(first, 60)));
    EXPECT_TRUE(manager.Evict(slot, kGap).ok());
    return slot;
  }
  static std::vector<TokenId> Tokens(TokenId first = 1) {
    return TokensAfter(Ramp(first, 60), kGap);
  }
  static std::vector<uint64_t> Contents(TokenId first = 1) {
    return ContentsAfter(FakeBytes::Decoded({}, Ramp(first, 60)), kGap);
  }
  bool Holds(SlotId slot, std::span<const uint64_t> contents) {
    std::string why;
    EXPECT_TRUE(manager.Check(&why)) << why;
    return manager.sequence(slot).cp() == std::ssize(contents) &&
           bytes.Holds(contents, manager.sequence(slot).blocks());
  }
};

TEST(SequenceManagerEvict, TheRestGoesOnFromWhatItHolds) {
  Evicted kv(16, 2);
  const SlotId slot = kv.Open();
  EXPECT_TRUE(kv.manager.HoldsItsOwn(slot));
  EXPECT_TRUE(kv.Holds(slot, Evicted::Contents()));
  auto tokens = Evicted::Tokens();
  const auto more = Ramp(700, 9);
  tokens.insert(tokens.end(), more.begin(), more.end());
  kv.decoded = 0;
  ASSERT_TRUE(kv.Decode(slot, tokens));
  EXPECT_EQ(9, kv.decoded);
  EXPECT_TRUE(kv.Holds(slot, FakeBytes::Decoded(Evicted::Contents(), more)));
  const Spans again = {{2, 5}};
  ASSERT_TRUE(kv.manager.Evict(slot, again).ok());
  EXPECT_TRUE(kv.Holds(slot, ContentsAfter(FakeBytes::Decoded(Evicted::Contents(), more), again)));
  EXPECT_EQ(2u, kv.manager.counts().evictions);
  EXPECT_EQ(14u, kv.manager.counts().tokens_evicted);
  ASSERT_TRUE(kv.manager.Evict(slot, {}).ok());
  EXPECT_EQ(2u, kv.manager.counts().evictions);
}

TEST(SequenceManagerEvict, NothingOfItIsPublishedUntilItIsCutToWhatIsExact) {
  Evicted kv(16, 2);
  const SlotId slot = kv.Open();
  kv.manager.Publish(slot);
  EXPECT_EQ(0, kv.manager.counts().blocks_cached);
  kv.manager.Truncate(slot, 21);  // one that has moved is left
  EXPECT_TRUE(kv.manager.HoldsItsOwn(slot));
  kv.manager.Publish(slot);
  EXPECT_EQ(0, kv.manager.counts().blocks_cached);
  kv.manager.Truncate(slot, 20);
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));
  kv.manager.Publish(slot);
  EXPECT_EQ(2, kv.manager.counts().blocks_cached);
  EXPECT_TRUE(kv.Holds(slot, FakeBytes::Decoded({}, Ramp(1, 20))));
}

TEST(SequenceManagerEvict, ALaterGapDoesNotMakeExactWhatAnEarlierOneMoved) {
  Evicted kv(16, 2);
  const SlotId slot = kv.Open();
  const Spans later = {{30, 35}};
  ASSERT_TRUE(kv.manager.Evict(slot, later).ok());
  kv.manager.Truncate(slot, 25);
  EXPECT_TRUE(kv.manager.HoldsItsOwn(slot));
  const Spans end = {{18, 25}};
  ASSERT_TRUE(kv.manager.Evict(slot, end).ok());
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));  // all that moved is gone
}

TEST(SequenceManagerEvict, EvictingTheEndIsATruncation) {
  Evicted kv(16, 2);
  const SlotId slot = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 60)));
  const Spans end = {{50, 60}};
  ASSERT_TRUE(kv.manager.Evict(slot, end).ok());
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));
  kv.manager.Publish(slot);
  EXPECT_EQ(4, kv.manager.counts().blocks_cached);
}

TEST(SequenceManagerEvict, OfALoadedSequenceNothingIsExact) {
  Evicted kv(16, 2);
  const SlotId slot = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 60)));
  kv.manager.SetForeign(slot);
  ASSERT_TRUE(kv.manager.Evict(slot, kGap).ok());
  kv.manager.Truncate(slot, 1);
  EXPECT_TRUE(kv.manager.HoldsItsOwn(slot));
  kv.manager.Truncate(slot, 0);
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));
}

// Another sequence has computed what is left from its tokens alone: other K and V.
TEST(SequenceManagerEvict, SyncKeepsWhatMovedAndTakesTheCacheForWhatIsExact) {
  Evicted kv(32, 3);
  auto tokens = Evicted::Tokens();
  tokens.push_back(700);
  tokens.push_back(701);
  const SlotId other = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(other, tokens));
  kv.manager.Publish(other);
  const SlotId slot = kv.Open();
  kv.manager.Truncate(slot, 40);
  EXPECT_EQ(40, kv.manager.Find(slot, tokens).own);
  EXPECT_EQ(0, kv.manager.Find(slot, tokens).cached);
  ASSERT_TRUE(kv.Decode(slot, tokens));
  EXPECT_EQ(40, kv.last.own);
  EXPECT_EQ(0, kv.last.cached);
  auto contents = Evicted::Contents();
  contents.resize(40);
  EXPECT_TRUE(kv.Holds(slot, FakeBytes::Decoded(contents, std::span(tokens).subspan(40))));
  // Cut to one that has moved, then to what is exact.
  std::vector<TokenId> changed(tokens.begin(), tokens.begin() + 21);
  changed.insert(changed.end(), {900, 901});
  ASSERT_TRUE(kv.Decode(slot, changed));
  EXPECT_TRUE(kv.manager.HoldsItsOwn(slot));
  changed.erase(changed.begin() + 20);
  ASSERT_TRUE(kv.Decode(slot, changed));
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));
  EXPECT_TRUE(kv.Holds(slot, FakeBytes::Decoded({}, changed)));
  const SlotId third = kv.Open();
  kv.manager.Truncate(third, 20);
  ASSERT_TRUE(kv.Decode(third, tokens));
  EXPECT_EQ(20, kv.last.own);
  EXPECT_GT(kv.last.cached, 0);
  EXPECT_TRUE(kv.Holds(third, FakeBytes::Decoded({}, tokens)));
}

// The common prefix ends right where the gap was, without a Truncate before.
TEST(SequenceManagerEvict, ASyncToWhatIsExactMayTakeTheCache) {
  Evicted kv(32, 3);
  const SlotId other = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(other, Ramp(1, 60)));
  kv.manager.Publish(other);
  const SlotId slot = kv.Open();  // its token 20 is 31, not 21
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 60)));
  EXPECT_EQ(20, kv.last.own);
  EXPECT_EQ(39, kv.last.cached);
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));
  EXPECT_TRUE(kv.Holds(slot, FakeBytes::Decoded({}, Ramp(1, 60))));
}

TEST(SequenceManagerEvict, ForksOfBothSidesKeepTheirBits) {
  Evicted kv(32, 4);
  const SlotId slot = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 60)));
  kv.manager.Publish(slot);
  const SlotId before = *kv.manager.Fork(slot);
  ASSERT_TRUE(kv.manager.Evict(slot, kGap).ok());
  const SlotId after = *kv.manager.Fork(slot);
  EXPECT_FALSE(kv.manager.HoldsItsOwn(before));
  EXPECT_TRUE(kv.manager.HoldsItsOwn(after));
  const Spans more = {{0, 4}};
  ASSERT_TRUE(kv.manager.Evict(after, more).ok());
  EXPECT_TRUE(kv.Holds(before, FakeBytes::Decoded({}, Ramp(1, 60))));
  EXPECT_TRUE(kv.Holds(slot, Evicted::Contents()));
  EXPECT_TRUE(kv.Holds(after, ContentsAfter(Evicted::Contents(), more)));
  // What was published is still what it was.
  const SlotId late = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(late, Ramp(1, 60)));
  EXPECT_EQ(59, kv.last.cached);
  EXPECT_TRUE(kv.Holds(late, FakeBytes::Decoded({}, Ramp(1, 60))));
}

// The block in which the gap was is cached as far as it is exact, and shared with what is not.
TEST(SequenceManagerEvict, AForkCutToWhatIsExactIsPublishedAndNothingBehindIt) {
  Evicted kv(32, 4);
  const SlotId slot = kv.Open();
  const SlotId fork = *kv.manager.Fork(slot);
  kv.manager.Truncate(fork, 20);
  kv.manager.Publish(fork);
  EXPECT_TRUE(kv.Holds(slot, Evicted::Contents()));
  const SlotId late = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(late, Evicted::Tokens()));
  EXPECT_EQ(20, kv.last.cached);
  EXPECT_TRUE(kv.Holds(late, FakeBytes::Decoded({}, Evicted::Tokens())));
  const Spans more = {{17, 18}};
  ASSERT_TRUE(kv.manager.Evict(slot, more).ok());
  EXPECT_TRUE(kv.Holds(slot, ContentsAfter(Evicted::Contents(), more)));
  EXPECT_TRUE(kv.Holds(fork, FakeBytes::Decoded({}, Ramp(1, 20))));
}

TEST(SequenceManagerEvict, ParkedWholeItComesBackAsItWas) {
  Evicted kv(16, 2, INT32_MAX, 100);
  const SlotId other = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(other, Evicted::Tokens()));
  kv.manager.Publish(other);  // of no use to it
  const SlotId slot = kv.Open();
  ASSERT_TRUE(kv.manager.Park(slot).ok());
  EXPECT_EQ(Evicted::Tokens(), kv.manager.tokens(slot).ToVector());
  std::string why;
  EXPECT_TRUE(kv.manager.Check(&why)) << why;
  ASSERT_TRUE(kv.manager.Resume(slot).ok());
  EXPECT_TRUE(kv.manager.HoldsItsOwn(slot));
  EXPECT_TRUE(kv.Holds(slot, Evicted::Contents()));
}

TEST(SequenceManagerEvict, WhatTheSwapFileDoesNotTakeIsNotParked) {
  for (const int64_t swapped_max : {0, 3}) {  // it has four blocks
    Evicted kv(8, 2, INT32_MAX, swapped_max);
    const SlotId slot = kv.Open();
    const Status status = kv.manager.Park(slot);
    EXPECT_EQ(Code::kExhausted, status.code());
    EXPECT_FALSE(kv.manager.IsParked(slot));
    const SlotId big = *kv.manager.Open("m", 128);
    EXPECT_FALSE(kv.Decode(big, Ramp(500, 100)));  // nor to make room
    EXPECT_TRUE(kv.Holds(slot, Evicted::Contents()));
  }
}

TEST(SequenceManagerEvict, ADamagedBlockEndsIt) {
  Evicted kv(16, 2, INT32_MAX, 100);
  const SlotId slot = kv.Open();
  ASSERT_TRUE(kv.manager.Park(slot).ok());
  ASSERT_EQ(1, ::pwrite(DescriptorOf(*kv.swap), "x", 1, FakeBytes::kBlockBytes));
  EXPECT_EQ(Code::kCorruption, kv.manager.Resume(slot).code());
  EXPECT_EQ(0, kv.manager.sequence(slot).cp());
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));
}

TEST(SequenceManagerEvict, IdleSequencesMakeRoomAndItIsNotParkedItself) {
  Evicted kv(12, 3, INT32_MAX, 100);
  const SlotId slot = *kv.manager.Open("m", 128), idle = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 60)));
  const SlotId fork = *kv.manager.Fork(slot);
  ASSERT_TRUE(kv.Decode(idle, Ramp(500, 100)));  // the pool has one block left
  kv.manager.SetBusy(fork, true);
  const Spans spans = {{3, 4}};
  ASSERT_TRUE(kv.manager.Evict(slot, spans).ok());
  EXPECT_TRUE(kv.manager.IsParked(idle));
  EXPECT_TRUE(kv.Holds(slot, ContentsAfter(FakeBytes::Decoded({}, Ramp(1, 60)), spans)));
  EXPECT_TRUE(kv.Holds(fork, FakeBytes::Decoded({}, Ramp(1, 60))));
}

TEST(SequenceManagerEvict, AFullPoolChangesNothing) {
  Evicted kv(7, 2);
  const SlotId slot = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 60)));
  const SlotId fork = *kv.manager.Fork(slot);
  kv.manager.SetBusy(fork, true);
  const Spans spans = {{3, 4}};
  const Status status = kv.manager.Evict(slot, spans);
  EXPECT_EQ("kv_pool", status.name());
  EXPECT_FALSE(kv.manager.HoldsItsOwn(slot));
  EXPECT_EQ(0u, kv.manager.counts().evictions);
  EXPECT_TRUE(kv.Holds(slot, FakeBytes::Decoded({}, Ramp(1, 60))));
  EXPECT_TRUE(kv.Holds(fork, FakeBytes::Decoded({}, Ramp(1, 60))));
}

// A session alone that has published all it holds: only the cache shares its blocks.
TEST(SequenceManagerEvict, AFullPoolGivesUpWhatIsCachedOfItRatherThanFail) {
  Evicted kv(4, 1);
  const SlotId slot = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 64)));
  kv.manager.Publish(slot);
  const Spans spans = {{20, 30}};
  ASSERT_TRUE(kv.manager.Evict(slot, spans).ok());
  EXPECT_EQ(1, kv.manager.counts().blocks_cached);  // the block before the gap
  EXPECT_TRUE(kv.Holds(slot, ContentsAfter(FakeBytes::Decoded({}, Ramp(1, 64)), spans)));
}

TEST(SequenceManagerEvict, WhatIsPinnedOrLeasedStaysCached) {
  for (const bool pinned : {false, true}) {
    Evicted kv(4, 1);
    const SlotId slot = *kv.manager.Open("m", 64);
    ASSERT_TRUE(kv.Decode(slot, Ramp(1, 64)));
    kv.manager.Publish(slot);
    if (pinned) {
      kv.manager.radix().Pin("m", Ramp(1, 64));
    } else {
      kv.manager.radix().Lease("m", Ramp(1, 64), kv.manager.now() + 1);
    }
    const Spans spans = {{20, 30}};
    EXPECT_EQ("kv_pool", kv.manager.Evict(slot, spans).name());
    EXPECT_EQ(4, kv.manager.counts().blocks_cached);
    EXPECT_TRUE(kv.Holds(slot, FakeBytes::Decoded({}, Ramp(1, 64))));
  }
}

// Another sequence goes on from the first two of its blocks.
TEST(SequenceManagerEvict, WhatOthersGoOnFromStaysCached) {
  for (const uint32_t blocks : {6u, 7u}) {
    Evicted kv(blocks, 2);
    const SlotId slot = *kv.manager.Open("m", 64), other = *kv.manager.Open("m", 64);
    ASSERT_TRUE(kv.Decode(slot, Ramp(1, 64)));
    kv.manager.Publish(slot);
    auto tokens = Ramp(1, 32);
    tokens.push_back(900);
    ASSERT_TRUE(kv.Decode(other, tokens));
    kv.manager.Publish(other);
    kv.manager.SetBusy(other, true);
    const Spans spans = {{3, 4}};
    const Status status = kv.manager.Evict(slot, spans);
    EXPECT_EQ(blocks == 7, status.ok());  // the first two are copied, the others given up
    EXPECT_EQ(3, kv.manager.counts().blocks_cached);
    const auto contents = FakeBytes::Decoded({}, Ramp(1, 64));
    EXPECT_TRUE(kv.Holds(slot, status.ok() ? ContentsAfter(contents, spans) : contents));
    EXPECT_TRUE(kv.Holds(other, FakeBytes::Decoded({}, tokens)));
  }
}

// Equal tokens, blocks of another sequence: giving those up would make none of ours free to write.
TEST(SequenceManagerEvict, OthersCachedBlocksAreNotGivenUpInVain) {
  Evicted kv(12, 4);
  const SlotId slot = *kv.manager.Open("m", 64), other = *kv.manager.Open("m", 64);
  ASSERT_TRUE(kv.Decode(slot, Ramp(1, 64)));
  ASSERT_TRUE(kv.Decode(other, Ramp(1, 64)));
  kv.manager.Publish(other);
  const SlotId fork = *kv.manager.Fork(slot);
  kv.manager.SetBusy(fork, true);
  kv.manager.SetBusy(other, true);
  const Spans spans = {{3, 4}};
  ASSERT_TRUE(kv.manager.Evict(fork, spans).ok());  // takes the last four
  const SlotId third = *kv.manager.Fork(slot);
  kv.manager.SetBusy(third, true);
  EXPECT_EQ("kv_pool", kv.manager.Evict(slot, spans).name());
  EXPECT_EQ(4, kv.manager.counts().blocks_cached);
}

}  // namespace
}  // namespace gyrator

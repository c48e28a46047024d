// What cannot be computed again beside a pool that is full: it goes to the spill memory, block by
// block, and comes back to the bit.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "kv/manager_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kLength = 64;  // four blocks, also behind the eviction of kGap
const std::vector<TokenSpan> kGap = {{2, 10}};

struct Spilling : Kv {
  // A pool and a spill memory of so many blocks.
  Spilling(uint32_t blocks, int32_t slots, uint64_t spilled_max, int64_t swapped_max = 0)
      : Kv(blocks, slots, INT32_MAX, swapped_max, spilled_max) {}

  // A sequence that cannot be computed again: 8 of its tokens left.
  SlotId Open(TokenId first) {
    const SlotId slot = *manager.Open("m", 128);
    manager.SetBusy(slot, true);
    EXPECT_TRUE(Decode(slot, Ramp(first, kLength)));
    manager.SetBusy(slot, true);
    EXPECT_TRUE(manager.Evict(slot, kGap).ok());
    manager.SetBusy(slot, false);
    return slot;
  }
  static std::vector<TokenId> Tokens(TokenId first) {
    return TokensAfter(Ramp(first, kLength), kGap);
  }
  static std::vector<uint64_t> Contents(TokenId first) {
    return ContentsAfter(FakeBytes::Decoded({}, Ramp(first, kLength)), kGap);
  }
  // Brings it back as a turn would; whether all is there as it was.
  bool Returns(SlotId slot, TokenId first) {
    manager.SetBusy(slot, true);
    const Status status = manager.Resume(slot);
    EXPECT_TRUE(status.ok()) << status.ToString();
    const bool same = status.ok() && manager.sequence(slot).tokens().ToVector() == Tokens(first) &&
                      bytes.Holds(Contents(first), manager.sequence(slot).blocks());
    manager.SetBusy(slot, false);
    ExpectSound();
    return same;
  }
  void ExpectSound() {
    std::string why;
    EXPECT_TRUE(manager.Check(&why)) << why;
  }
};

TEST(SequenceManagerSpill, IdleOnesMakeRoomAndComeBackToTheBit) {
  Spilling kv(10, 8, 20);
  std::vector<SlotId> slots;
  for (TokenId i = 0; i < 6; ++i) slots.push_back(kv.Open(1000 * i));
  EXPECT_GT(kv.spill.stats().blocks_in_use, 0u);
  for (int round = 0; round < 3; ++round) {
    for (TokenId i = 0; i < 6; ++i) {
      EXPECT_TRUE(kv.Returns(slots[static_cast<size_t>(i)], 1000 * i));
    }
  }
  for (const SlotId slot : slots) EXPECT_TRUE(kv.manager.Close(slot).ok());
  EXPECT_EQ(0u, kv.spill.stats().blocks_in_use);
  kv.ExpectSound();
}

// Neither takes more than its size, and a sequence may lie in both.
TEST(SequenceManagerSpill, RoomIsRefusedWhenBothAreFullAndNotBefore) {
  Spilling kv(6, 8, 7);  // 13 blocks: three sequences of 4, and one block
  std::vector<SlotId> slots;
  for (TokenId i = 0; i < 3; ++i) slots.push_back(kv.Open(1000 * i));
  const SlotId small = *kv.manager.Open("n", 128);
  EXPECT_TRUE(kv.Decode(small, Ramp(7, 16)));  // the last block
  const SlotId late = *kv.manager.Open("n", 128);
  EXPECT_TRUE(kv.Decode(late, Ramp(9000, 16)));  // takes the place of `small`
  kv.manager.SetBusy(late, true);
  EXPECT_TRUE(kv.manager.IsParked(small));
  const Status full = kv.manager.Reserve(late, 1);
  EXPECT_EQ("kv_pool", full.name());
  for (const char* remedy : {"--kv-budget", "--swap", "close sessions", "spill"}) {
    EXPECT_NE(std::string::npos, full.message().find(remedy)) << full.message();
  }
  kv.ExpectSound();
  EXPECT_TRUE(kv.manager.Close(slots[1]).ok());
  EXPECT_TRUE(kv.manager.Reserve(late, 30).ok());
  kv.manager.SetBusy(late, false);
  EXPECT_TRUE(kv.Returns(slots[0], 0));
  EXPECT_TRUE(kv.Returns(slots[2], 2000));
}

// With nothing free anywhere a block changes places with one of another.
TEST(SequenceManagerSpill, SequencesTakeTurnsWhereNoBlockIsFree) {
  Spilling kv(8, 4, 8);
  std::vector<SlotId> slots;
  for (TokenId i = 0; i < 4; ++i) slots.push_back(kv.Open(1000 * i));
  EXPECT_EQ(0u, kv.pool.num_free());
  EXPECT_EQ(8u, kv.spill.stats().blocks_in_use);
  for (int round = 0; round < 3; ++round) {
    for (const TokenId i : {0, 2, 1, 3}) {
      EXPECT_TRUE(kv.Returns(slots[static_cast<size_t>(i)], 1000 * i)) << round << " " << i;
    }
  }
}

TEST(SequenceManagerSpill, ForksAreSpilledOnceAndShareWhatComesBack) {
  Spilling kv(8, 8, 8);
  const SlotId parent = kv.Open(1000);
  std::vector<SlotId> family = {parent};
  for (int i = 0; i < 4; ++i) family.push_back(*kv.manager.Fork(parent));
  const SlotId other = *kv.manager.Open("n", 128);
  EXPECT_TRUE(kv.Decode(other, Ramp(5, 120)));  // all of the pool
  EXPECT_EQ(4u, kv.spill.stats().blocks_in_use);
  kv.ExpectSound();
  EXPECT_TRUE(kv.Returns(family[3], 1000));
  EXPECT_EQ(0u, kv.spill.stats().blocks_in_use);
  for (const SlotId slot : family) EXPECT_TRUE(kv.Returns(slot, 1000));
  EXPECT_EQ(4u, kv.pool.num_blocks() - kv.pool.num_free() -
                    static_cast<uint32_t>(kv.manager.radix().num_nodes()));
  // One goes on alone; the others stay as they are.
  auto longer = Spilling::Tokens(1000);
  longer.push_back(77);
  EXPECT_TRUE(kv.Decode(family[2], longer));
  EXPECT_TRUE(kv.Decode(other, Ramp(6, 120)));
  EXPECT_TRUE(kv.Returns(family[0], 1000));
  for (const SlotId slot : family) EXPECT_TRUE(kv.manager.Close(slot).ok());
  EXPECT_EQ(0u, kv.spill.stats().blocks_in_use);
  kv.ExpectSound();
}

// Who is at work need not copy what only idle ones share with it: their copies go.
TEST(SequenceManagerSpill, IdleForksLeaveTheirBlocksToTheOneAtWork) {
  Spilling kv(5, 8, 4);
  const SlotId parent = kv.Open(1000);
  const SlotId forks[] = {*kv.manager.Fork(parent), *kv.manager.Fork(parent)};
  const std::vector<TokenSpan> gap = {{1, 20}};  // moves positions in all of its four blocks
  kv.manager.SetBusy(parent, true);
  ASSERT_TRUE(kv.manager.Evict(parent, gap).ok());
  EXPECT_TRUE(kv.bytes.Holds(ContentsAfter(Spilling::Contents(1000), gap),
                             kv.manager.sequence(parent).blocks()));
  kv.ExpectSound();
  EXPECT_TRUE(kv.manager.Close(parent).ok());
  for (const SlotId fork : forks) EXPECT_TRUE(kv.Returns(fork, 1000));
}

// A system prompt before what was evicted is in the tree, and in all who began with it.
TEST(SequenceManagerSpill, ACommonBeginningIsSpilledOnce) {
  Spilling kv(10, 8, 10);
  const std::vector<TokenSpan> gap = {{40, 50}};
  std::vector<SlotId> slots;
  for (TokenId i = 0; i < 4; ++i) {
    auto tokens = Ramp(1, 32);  // two blocks of all
    const auto own = Ramp(1000 * (i + 1), 32);
    tokens.insert(tokens.end(), own.begin(), own.end());
    slots.push_back(*kv.manager.Open("m", 128));
    ASSERT_TRUE(kv.Decode(slots.back(), tokens));
    kv.manager.Publish(slots.back());
    kv.manager.SetBusy(slots.back(), true);
    ASSERT_TRUE(kv.manager.Evict(slots.back(), gap).ok());
    kv.manager.SetBusy(slots.back(), false);
  }
  const SlotId other = *kv.manager.Open("n", 256);
  EXPECT_TRUE(kv.Decode(other, Ramp(5, 160)));  // all of the pool
  EXPECT_EQ(2u + 4 * 2, kv.spill.stats().blocks_in_use);
  kv.ExpectSound();
  for (TokenId i = 0; i < 4; ++i) {
    kv.manager.SetBusy(slots[static_cast<size_t>(i)], true);
    EXPECT_TRUE(kv.manager.Resume(slots[static_cast<size_t>(i)]).ok());
    kv.manager.SetBusy(slots[static_cast<size_t>(i)], false);
    kv.ExpectSound();
  }
}

TEST(SequenceManagerSpill, WhatCanBeComputedAgainIsNotSpilled) {
  Spilling kv(8, 8, 100);
  for (TokenId i = 0; i < 5; ++i) {
    EXPECT_TRUE(kv.Decode(*kv.manager.Open("m", 128), Ramp(1000 * i, 100)));
  }
  EXPECT_EQ(0u, kv.spill.stats().blocks_written);
  EXPECT_GT(kv.manager.counts().parked, 0);
}

TEST(SequenceManagerSpill, ASwapFileGoesFirst) {
  Spilling kv(4, 8, 12, 9);  // two sequences fit into the file
  std::vector<SlotId> slots;
  for (TokenId i = 0; i < 4; ++i) slots.push_back(kv.Open(1000 * i));
  EXPECT_EQ(8u, kv.swap->stats().blocks_in_use);
  EXPECT_EQ(4u, kv.spill.stats().blocks_in_use);
  for (TokenId i = 0; i < 4; ++i) EXPECT_TRUE(kv.Returns(slots[static_cast<size_t>(i)], 1000 * i));
}

TEST(SequenceManagerSpill, WithoutABudgetNothingIsSpilled) {
  Spilling kv(6, 8, 0);
  const SlotId slot = kv.Open(1000);
  const SlotId other = *kv.manager.Open("n", 128);
  EXPECT_FALSE(kv.Decode(other, Ramp(5, 60)));
  EXPECT_FALSE(kv.manager.Park(slot).ok());
  EXPECT_FALSE(kv.manager.IsParked(slot));
  EXPECT_TRUE(kv.Returns(slot, 1000));
}

// A sequence that finds a part of itself in the tree, and no room for the rest, holds nothing of
// it.
TEST(SequenceManagerRoom, AResumeWithoutRoomHoldsNoBlock) {
  Kv kv(6, 4, INT32_MAX, 4);
  const SlotId parked = *kv.manager.Open("m", 128), twin = *kv.manager.Open("m", 128);
  ASSERT_TRUE(kv.Decode(parked, Ramp(1, 64)));
  ASSERT_TRUE(kv.manager.Park(parked).ok());  // four blocks in the file, which is full
  ASSERT_TRUE(kv.Decode(twin, Ramp(1, 32)));
  kv.manager.Publish(twin);  // two of them in the tree
  const SlotId busy = *kv.manager.Open("n", 128);
  ASSERT_TRUE(kv.Decode(busy, Ramp(900, 64)));
  kv.manager.SetBusy(busy, true);
  kv.manager.SetBusy(twin, true);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ("kv_pool", kv.manager.Resume(parked).name());
    EXPECT_TRUE(kv.manager.IsParked(parked));
    std::string why;
    EXPECT_TRUE(kv.manager.Check(&why)) << why;
  }
  kv.manager.SetBusy(busy, false);
  EXPECT_TRUE(kv.manager.Resume(parked).ok());
  EXPECT_TRUE(kv.bytes.Holds(kv.manager.sequence(parked)));
}

// Sequences come, talk, evict, fork, idle and go at random; each is what it would be alone.
class RandomTalks {
 public:
  RandomTalks() : kv_(24, 16, 24) {}

  void Step() {
    const uint32_t deed = Draw(10);
    if (talks_.empty() || (deed == 0 && talks_.size() < 12)) {
      talks_[*kv_.manager.Open("m", 128)] = {};
    } else if (deed == 1) {
      const auto talk = Pick();
      ASSERT_TRUE(kv_.manager.Close(talk->first).ok());
      talks_.erase(talk);
    } else {
      const auto talk = Pick();
      kv_.manager.SetBusy(talk->first, true);
      if (ComesBack(talk->first, talk->second)) Turn(deed, talk->first, &talk->second);
      kv_.manager.SetBusy(talk->first, false);
    }
    kv_.ExpectSound();
  }
  int served() const { return served_; }
  uint64_t unspilled() const { return kv_.spill.stats().blocks_read; }

 private:
  struct Talk {
    std::vector<TokenId> tokens;
    std::vector<uint64_t> contents;
  };

  uint32_t Draw(uint32_t end) { return static_cast<uint32_t>(random_() % end); }
  std::map<SlotId, Talk>::iterator Pick() {
    return std::next(talks_.begin(), Draw(static_cast<uint32_t>(talks_.size())));
  }

  bool ComesBack(SlotId slot, const Talk& talk) {
    // What was only parked to be computed again is computed again.
    if (!kv_.manager.Resume(slot).ok() || !kv_.DecodeLive(slot, talk.tokens, 1000)) return false;
    ++served_;
    EXPECT_EQ(talk.tokens, kv_.manager.sequence(slot).tokens().ToVector());
    EXPECT_TRUE(kv_.bytes.Holds(talk.contents, kv_.manager.sequence(slot).blocks()));
    return true;
  }

  void Turn(uint32_t deed, SlotId slot, Talk* talk) {
    const auto length = static_cast<int32_t>(talk->tokens.size());
    if (deed == 2 && talks_.size() < 14) {
      const auto child = kv_.manager.Fork(slot);
      ASSERT_TRUE(child.ok());
      talks_[*child] = *talk;
    } else if (deed < 6 && length > 20) {
      const std::vector<TokenSpan> gap = {{4, 5 + static_cast<int32_t>(Draw(12))}};
      if (!kv_.manager.Evict(slot, gap).ok()) return;
      *talk = {TokensAfter(talk->tokens, gap), ContentsAfter(talk->contents, gap)};
    } else if (length < 90) {
      const auto more = Ramp(static_cast<TokenId>(1000 * Draw(90)), static_cast<int32_t>(Draw(30)));
      auto longer = talk->tokens;
      longer.insert(longer.end(), more.begin(), more.end());
      if (!kv_.DecodeLive(slot, longer, 1000)) return;
      *talk = {longer, FakeBytes::Decoded(talk->contents, more)};
    }
  }

  std::mt19937 random_{20261130};
  Spilling kv_;
  std::map<SlotId, Talk> talks_;
  int served_ = 0;
};

TEST(SequenceManagerSpill, RandomTalksAreEachAsAlone) {
  RandomTalks talks;
  for (int step = 0; step < 4000 && !testing::Test::HasFailure(); ++step) talks.Step();
  EXPECT_GT(talks.served(), 2000);
  EXPECT_GT(talks.unspilled(), 100u);
}

}  // namespace
}  // namespace gyrator

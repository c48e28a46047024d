// The second tier of the prefix cache: blocks in the swap file.
#include <gtest/gtest.h>
#include <unistd.h>

#include <random>

#include "kv/manager_testing.h"

namespace gyrator {
namespace {

constexpr uint32_t kBlocks = 16;

class ColdPrefixes : public testing::Test {
 protected:
  ~ColdPrefixes() override {
    tree_.Clear();
    EXPECT_EQ(0u, swap_->stats().blocks_in_use);
    EXPECT_EQ(kBlocks, pool_.num_free());
  }
  void TearDown() override {
    std::string why;
    EXPECT_TRUE(tree_.Check(&why)) << why;
  }

  // Decodes `tokens` and caches them.
  void Cache(std::span<const TokenId> tokens) {
    Sequence sequence(&pool_, &bytes_, 100);
    ASSERT_TRUE(sequence.Reserve(static_cast<int32_t>(tokens.size())).ok());
    bytes_.Store(sequence, tokens);
    sequence.Commit(tokens);
    tree_.Insert("m", tokens, sequence.blocks(), ++now_);
  }
  // The length of what is in memory, which must hold what its tokens give.
  int32_t InMemory(std::span<const TokenId> tokens) {
    const RadixTree::Match match = tree_.Acquire("m", tokens, now_);
    const auto length = static_cast<size_t>(match.length);
    EXPECT_TRUE(bytes_.Holds(tokens.first(length), match.blocks));
    pool_.Release(match.blocks);
    return match.length;
  }
  // Damages a byte of a slot of the file.
  void Damage(uint32_t slot) {
    const auto at = static_cast<off_t>(slot * FakeBytes::kBlockBytes);
    ASSERT_EQ(1, ::pwrite(DescriptorOf(*swap_), "x", 1, at));
  }

  BlockPool pool_{kBlocks};
  FakeBytes bytes_{kBlocks};
  std::unique_ptr<SwapFile> swap_ = Kv::MakeSwap(4);
  RadixTree tree_{&pool_, {}, {swap_.get(), &bytes_}};
  uint64_t now_ = 0;
};

TEST_F(ColdPrefixes, WhatMakesRoomStaysAndComesBack) {
  const auto tokens = Ramp(1, 40);
  Cache(tokens);
  EXPECT_EQ(2, tree_.Evict(2, ++now_));
  EXPECT_EQ(15u, pool_.num_free());
  EXPECT_EQ(1, tree_.num_nodes());
  EXPECT_EQ(2, tree_.num_cold());
  EXPECT_EQ(2u, swap_->stats().blocks_in_use);
  EXPECT_EQ(16, InMemory(tokens));
  EXPECT_EQ(16, tree_.Find("m", tokens));
  EXPECT_EQ(40, tree_.FindAny("m", tokens));
  EXPECT_EQ(40, tree_.FindElsewhere("n", tokens));
  EXPECT_EQ(0, tree_.NumCold("m", Ramp(1, 16)));
  EXPECT_EQ(1, tree_.NumCold("m", Ramp(1, 17)));
  EXPECT_EQ(1, tree_.Warm("m", Ramp(1, 20), ++now_));  // what is asked for, and no more
  EXPECT_EQ(32, InMemory(tokens));
  EXPECT_EQ(1, tree_.Warm("m", tokens, ++now_));
  EXPECT_EQ(40, InMemory(tokens));
  EXPECT_EQ(0u, swap_->stats().blocks_in_use);
  EXPECT_EQ(2u, tree_.written());
}

TEST_F(ColdPrefixes, AWholeChainMayBeCold) {
  const auto tokens = Ramp(1, 40);
  Cache(tokens);
  EXPECT_EQ(3, tree_.Evict(9, ++now_));
  EXPECT_EQ(0, InMemory(tokens));
  EXPECT_EQ(1, tree_.num_leaves());
  EXPECT_EQ(3, tree_.Warm("m", Ramp(1, 60), ++now_));
  EXPECT_EQ(40, InMemory(tokens));
}

TEST_F(ColdPrefixes, ReadsAsFarAsThePoolHasRoom) {
  const auto tokens = Ramp(1, 48);
  Cache(tokens);
  tree_.Evict(3, ++now_);
  std::vector<uint32_t> others;
  ASSERT_TRUE(pool_.Allocate(kBlocks - 2, &others).ok());
  EXPECT_EQ(2, tree_.Warm("m", tokens, ++now_));
  EXPECT_EQ(32, InMemory(tokens));
  EXPECT_EQ(48, tree_.FindAny("m", tokens));
  pool_.Release(others);
}

TEST_F(ColdPrefixes, WhatIsDamagedIsForgottenWithAllThatFollows) {
  const auto tokens = Ramp(1, 64);
  Cache(tokens);
  tree_.Evict(4, ++now_);  // leaves first: the second block is in slot 2
  Damage(2);
  EXPECT_EQ(1, tree_.Warm("m", tokens, ++now_));
  EXPECT_EQ(16, InMemory(tokens));
  EXPECT_EQ(16, tree_.FindAny("m", tokens));
  EXPECT_EQ(0, tree_.num_cold());
}

TEST_F(ColdPrefixes, AFullFileForgetsTheCheapestLoss) {
  Cache(Ramp(100, 64));
  tree_.Evict(4, ++now_);
  now_ += 100;
  Cache(Ramp(200, 16));  // younger: worth more
  EXPECT_EQ(1, tree_.Evict(1, now_ + 1));
  EXPECT_EQ(48, tree_.FindAny("m", Ramp(100, 64)));
  EXPECT_EQ(16, tree_.FindAny("m", Ramp(200, 16)));
  Cache(Ramp(300, 1));  // worth less than all that is there
  EXPECT_EQ(1, tree_.Evict(1, now_ + 1000));
  EXPECT_EQ(0, tree_.FindAny("m", Ramp(300, 1)));
  EXPECT_EQ(4, tree_.num_cold());
}

TEST_F(ColdPrefixes, MakeRoomForOthersInTheFile) {
  Cache(Ramp(100, 64));
  tree_.Evict(4, ++now_);
  EXPECT_EQ(3, tree_.FreeCold(3, now_));
  EXPECT_EQ(16, tree_.FindAny("m", Ramp(100, 64)));
  EXPECT_EQ(1, tree_.FreeCold(3, now_));
  EXPECT_EQ(0, tree_.FreeCold(3, now_));
  EXPECT_EQ(0u, swap_->stats().blocks_in_use);
}

TEST_F(ColdPrefixes, WhatIsComputedAgainIsNotRead) {
  const auto tokens = Ramp(1, 40);
  Cache(tokens);
  tree_.Evict(3, ++now_);
  Cache(Ramp(1, 36));  // whole blocks take the place of cold ones; of the last the longer stays
  EXPECT_EQ(32, InMemory(tokens));
  EXPECT_EQ(40, tree_.FindAny("m", tokens));
  Cache(Ramp(1, 44));
  EXPECT_EQ(44, InMemory(Ramp(1, 44)));
  EXPECT_EQ(0u, swap_->stats().blocks_in_use);
}

TEST_F(ColdPrefixes, AHotSiblingIsFoundBesideAColdOneThatGoesOnFurther) {
  std::vector<TokenId> other = Ramp(1, 20);
  other[18] = 0;
  Cache(Ramp(1, 32));
  Cache(other);
  pool_.Release(tree_.Acquire("m", other, now_ += 100).blocks);
  EXPECT_EQ(1, tree_.Evict(1, now_ + 1));  // the end of the first
  EXPECT_EQ(18, InMemory(Ramp(1, 32)));    // as far as the second goes
  EXPECT_EQ(32, tree_.FindAny("m", Ramp(1, 32)));
  EXPECT_EQ(20, InMemory(other));
}

TEST_F(ColdPrefixes, DropAndForgetTakeColdOnesToo) {
  const auto tokens = Ramp(1, 48);
  Cache(tokens);
  tree_.Evict(2, ++now_);
  const RadixTree::Match held = tree_.Acquire("m", tokens, ++now_);
  tree_.Forget("m", tokens, std::vector<uint32_t>{held.blocks[0], 99, 99}, 0, now_);
  EXPECT_EQ(0, tree_.FindAny("m", tokens));
  pool_.Release(held.blocks);
  Cache(tokens);
  tree_.Evict(2, ++now_);
  EXPECT_EQ(3, tree_.Drop("m", Ramp(1, 8), now_));
  EXPECT_EQ(0u, swap_->stats().blocks_in_use);
}

TEST_F(ColdPrefixes, WhatIsPinnedStaysInMemory) {
  Cache(Ramp(1, 40));
  EXPECT_EQ(32, tree_.Pin("m", Ramp(1, 32)));
  EXPECT_EQ(1, tree_.Evict(9, ++now_));
  EXPECT_EQ(32, InMemory(Ramp(1, 40)));
  tree_.Unpin("m", Ramp(1, 32));
}

// 100,000 random operations: nothing is found that was not cached, and what is found holds it.
TEST(ColdPrefixesModel, RandomOperations) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  BlockPool pool(40);
  FakeBytes bytes(40);
  const auto swap = Kv::MakeSwap(30);
  uint64_t warmed = 0;
  {
    RadixTree tree(&pool, {1, 0.01}, {swap.get(), &bytes});
    for (int step = 0; step < 100000; ++step) {
      std::vector<TokenId> tokens(random() % 50);
      for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 8 == 0);
      const auto now = static_cast<uint64_t>(step);
      const auto count = static_cast<int32_t>(tokens.size());
      switch (random() % 6) {
        case 0:
          tree.Evict(static_cast<int32_t>(random() % 10), now);
          break;
        case 1: {
          const int32_t any = tree.FindAny("m", tokens);
          const int32_t cold = tree.NumCold("m", tokens);
          const auto free = static_cast<int32_t>(pool.num_free());
          ASSERT_EQ(std::min(cold, free), tree.Warm("m", tokens, now));
          ASSERT_EQ(any, tree.FindAny("m", tokens));
          ASSERT_TRUE(cold > free || any == tree.Find("m", tokens));
          warmed += static_cast<uint64_t>(std::min(cold, free));
          break;
        }
        case 2:
          if (random() % 20 == 0) tree.FreeCold(static_cast<int32_t>(random() % 5), now);
          if (random() % 200 == 0) tree.Drop("m", std::span(tokens).first(tokens.size() / 4), now);
          break;
        case 3: {
          Sequence sequence(&pool, &bytes, 64);
          if (sequence.BlocksNeeded(count) > pool.num_free()) tree.Evict(8, now);
          ASSERT_TRUE(sequence.Reserve(count).ok());
          bytes.Store(sequence, tokens);
          sequence.Commit(tokens);
          tree.Insert("m", tokens, sequence.blocks(), now);
          ASSERT_EQ(count, tree.FindAny("m", tokens));
          break;
        }
        default: {
          const RadixTree::Match match = tree.Acquire("m", tokens, now);
          ASSERT_TRUE(bytes.Holds(std::span(tokens).first(static_cast<size_t>(match.length)),
                                  match.blocks));
          ASSERT_EQ(match.length, tree.Find("m", tokens));
          ASSERT_LE(match.length, tree.FindAny("m", tokens));
          pool.Release(match.blocks);
        }
      }
      std::string why;
      ASSERT_TRUE(tree.Check(&why)) << why << " at step " << step;
      ASSERT_EQ(40u, pool.num_free() + static_cast<uint32_t>(tree.num_nodes()));
      ASSERT_EQ(swap->stats().blocks_in_use, static_cast<uint64_t>(tree.num_cold()));
    }
  }
  EXPECT_GT(warmed, 1000u);
  EXPECT_EQ(40u, pool.num_free());
  EXPECT_EQ(0u, swap->stats().blocks_in_use);
}

}  // namespace
}  // namespace gyrator

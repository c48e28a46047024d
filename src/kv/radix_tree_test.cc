#include "kv/radix_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "kv/kv_testing.h"

namespace gyrator {
namespace {

using testing::IsEmpty;

std::vector<TokenId> Ramp(TokenId first, int32_t count) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) tokens[static_cast<size_t>(i)] = first + i;
  return tokens;
}

class RadixTreeTest : public testing::Test {
 protected:
  // Caches `tokens` in fresh blocks that only the tree holds afterwards.
  std::vector<uint32_t> Cache(std::string_view key, std::span<const TokenId> tokens) {
    std::vector<uint32_t> blocks;
    EXPECT_TRUE(pool_.Allocate(static_cast<uint32_t>(BlocksFor(std::ssize(tokens))), &blocks).ok());
    tree_.Insert(key, tokens, blocks, ++now_);
    pool_.Release(blocks);
    return blocks;
  }
  void TearDown() override {
    std::string why;
    EXPECT_TRUE(tree_.Check(&why)) << why;
  }

  BlockPool pool_{64};
  RadixTree tree_{&pool_, {}};
  uint64_t now_ = 0;
};

TEST_F(RadixTreeTest, AMissIsEmpty) {
  EXPECT_EQ(0, tree_.Find("m", Ramp(1, 40)));
  const RadixTree::Match match = tree_.Acquire("m", Ramp(1, 40), 1);
  EXPECT_EQ(0, match.length);
  EXPECT_THAT(match.blocks, IsEmpty());
  EXPECT_EQ(0, tree_.Find("m", {}));
}

TEST_F(RadixTreeTest, AKeyOfWhichNothingIsLeftCostsNothing) {
  for (int i = 0; i < 100'000; ++i) {
    Cache("tenant " + std::to_string(i), Ramp(i, 20));
    tree_.Evict(std::max(0, tree_.num_nodes() - 32), ++now_);
    ASSERT_LE(tree_.num_keys(), 32);
  }
  tree_.Evict(64, ++now_);
  EXPECT_EQ(0, tree_.num_keys());
}

TEST_F(RadixTreeTest, HoweverTheLastOfAKeyGoes) {
  const std::vector<uint32_t> part = Cache("detached", Ramp(1, 10));
  tree_.Detach("detached", Ramp(1, 10), part[0], false);
  EXPECT_EQ(0, tree_.num_keys());
  const std::vector<uint32_t> all = Cache("forgotten", Ramp(1, 40));
  tree_.Forget("forgotten", Ramp(1, 40), all, 0, ++now_);
  EXPECT_EQ(0, tree_.num_keys());
  Cache("dropped", Ramp(1, 40));
  EXPECT_EQ(3, tree_.Drop("dropped", {}, ++now_));
  EXPECT_EQ(0, tree_.num_keys());
  Cache("cleared", Ramp(1, 40));
  Cache("cleared too", Ramp(1, 40));
  tree_.Clear();
  EXPECT_EQ(0, tree_.num_keys());
}

TEST_F(RadixTreeTest, AKeyStaysWhenAShorterPartGivesWayToALongerOne) {
  Cache("m", Ramp(1, 5));
  Cache("m", Ramp(1, 12));
  EXPECT_EQ(1, tree_.num_keys());
  EXPECT_EQ(1, tree_.num_nodes());
  EXPECT_EQ(12, tree_.Find("m", Ramp(1, 12)));
}

TEST_F(RadixTreeTest, OtherKeysAreLookedAtWithoutTheOwn) {
  Cache("m", Ramp(1, 40));
  EXPECT_EQ(0, tree_.FindElsewhere("m", Ramp(1, 40)));
  EXPECT_EQ(40, tree_.FindElsewhere("n", Ramp(1, 50)));
  Cache("n", Ramp(1, 20));
  EXPECT_EQ(20, tree_.FindElsewhere("m", Ramp(1, 40)));
  EXPECT_EQ(40, tree_.FindElsewhere("n", Ramp(1, 40)));
  EXPECT_EQ(40, tree_.FindElsewhere("o", Ramp(1, 40)));
  EXPECT_EQ(0, tree_.FindElsewhere("o", Ramp(2, 40)));
}

TEST_F(RadixTreeTest, TheLongestPrefixToTheToken) {
  const auto blocks = Cache("m", Ramp(1, 40));
  EXPECT_EQ(40, tree_.Find("m", Ramp(1, 40)));
  EXPECT_EQ(40, tree_.Find("m", Ramp(1, 100)));
  EXPECT_EQ(7, tree_.Find("m", Ramp(1, 7)));
  for (int32_t at : {0, 1, 15, 16, 17, 31, 32, 39}) {
    std::vector<TokenId> other = Ramp(1, 40);
    other[static_cast<size_t>(at)] = 999;
    EXPECT_EQ(at, tree_.Find("m", other)) << at;
    const RadixTree::Match match = tree_.Acquire("m", other, 2);
    EXPECT_EQ(at, match.length);
    EXPECT_EQ(std::vector<uint32_t>(blocks.begin(), blocks.begin() + BlocksFor(at)), match.blocks);
    for (uint32_t block : match.blocks) EXPECT_EQ(2u, pool_.num_refs(block));
    pool_.Release(match.blocks);
  }
}

TEST_F(RadixTreeTest, KeysShareNothing) {
  Cache("model a, tenant 1", Ramp(1, 40));
  EXPECT_EQ(0, tree_.Find("model a, tenant 2", Ramp(1, 40)));
  EXPECT_EQ(40, tree_.Find("model a, tenant 1", Ramp(1, 40)));
}

TEST_F(RadixTreeTest, EqualBlocksAreKeptOnce) {
  const auto first = Cache("m", Ramp(1, 32));
  EXPECT_EQ(2, tree_.num_nodes());
  const auto second = Cache("m", Ramp(1, 32));
  EXPECT_EQ(2, tree_.num_nodes());
  EXPECT_EQ(62u, pool_.num_free());
  const RadixTree::Match match = tree_.Acquire("m", Ramp(1, 32), 9);
  EXPECT_EQ(first, match.blocks);
  pool_.Release(match.blocks);
}

TEST_F(RadixTreeTest, ALongerPartTakesThePlaceOfAShorterOne) {
  Cache("m", Ramp(1, 20));
  const auto longer = Cache("m", Ramp(1, 28));
  EXPECT_EQ(2, tree_.num_nodes());
  EXPECT_EQ(28, tree_.Find("m", Ramp(1, 28)));
  Cache("m", Ramp(1, 24));  // says nothing new
  EXPECT_EQ(2, tree_.num_nodes());
  const RadixTree::Match match = tree_.Acquire("m", Ramp(1, 28), 9);
  EXPECT_EQ(longer[1], match.blocks[1]);
  pool_.Release(match.blocks);
}

TEST_F(RadixTreeTest, OfBlocksThatBeginAlikeTheOneThatIsMeantGoes) {
  std::vector<uint32_t> blocks;
  for (const TokenId second : {30, 20, 40}) {
    blocks.push_back(Cache("m", std::vector<TokenId>{7, second, 50})[0]);
  }
  const std::vector<TokenId> shared = {7};
  tree_.Detach("m", shared, blocks[0], true);
  EXPECT_EQ(1, tree_.Find("m", std::vector<TokenId>{7, 30, 50}));
  EXPECT_EQ(3, tree_.Find("m", std::vector<TokenId>{7, 20, 50}));
  tree_.Forget("m", shared, {&blocks[2], 1}, 0, ++now_);
  EXPECT_EQ(1, tree_.Find("m", std::vector<TokenId>{7, 40, 50}));
  EXPECT_EQ(1, tree_.num_nodes());
}

TEST_F(RadixTreeTest, ABlockThatIsPinnedOrLeasedIsNotDetached) {
  const uint32_t block = Cache("m", Ramp(1, 16))[0];
  EXPECT_EQ(16, tree_.Pin("m", Ramp(1, 16)));
  tree_.Detach("m", Ramp(1, 5), block, true);
  EXPECT_EQ(16, tree_.Find("m", Ramp(1, 16)));
  tree_.Unpin("m", Ramp(1, 16));
  tree_.Lease("m", Ramp(1, 16), 50);
  tree_.Detach("m", Ramp(1, 5), block, true);
  EXPECT_EQ(16, tree_.Find("m", Ramp(1, 16)));
  const uint32_t other = Cache("m", Ramp(100, 16))[0];
  tree_.Detach("m", Ramp(100, 5), other, true);
  EXPECT_EQ(0, tree_.Find("m", Ramp(100, 16)));
}

TEST_F(RadixTreeTest, OldLeavesGoFirstAndLongOnesAreWorthMore) {
  Cache("m", Ramp(100, 16));
  Cache("m", Ramp(200, 16));
  pool_.Release(tree_.Acquire("m", Ramp(100, 16), ++now_).blocks);  // used again
  EXPECT_EQ(1, tree_.Evict(1, now_ + 1));
  EXPECT_EQ(16, tree_.Find("m", Ramp(100, 16)));
  EXPECT_EQ(0, tree_.Find("m", Ramp(200, 16)));
  // Of the same age, the one that holds fewer tokens is the cheaper loss.
  Cache("m", Ramp(300, 2));
  EXPECT_EQ(1, tree_.Evict(1, now_ + 1000));
  EXPECT_EQ(0, tree_.Find("m", Ramp(300, 2)));
}

// Equal in age and in tokens: what lies deep would cost more to compute again.
TEST(RadixTree, WhatLiesDeepIsWorthMoreWhenAPositionCosts) {
  for (const double per_position : {0.0, 0.1}) {
    BlockPool pool(8);
    RadixTree tree(&pool, {1, per_position});
    std::vector<uint32_t> blocks;
    ASSERT_TRUE(pool.Allocate(4, &blocks).ok());
    const auto deep = Ramp(1, 48), shallow = Ramp(500, 16);
    tree.Insert("m", deep, {blocks.data(), 3}, 1);
    tree.Insert("m", shallow, {&blocks[3], 1}, 1);
    pool.Release(blocks);
    ASSERT_EQ(1, tree.Evict(1, 9));
    // Of equal costs the lowest block goes.
    EXPECT_EQ(per_position == 0 ? 32 : 48, tree.Find("m", deep));
    EXPECT_EQ(per_position == 0 ? 16 : 0, tree.Find("m", shallow));
  }
}

TEST_F(RadixTreeTest, AChainGoesFromItsEnd) {
  Cache("m", Ramp(1, 64));
  EXPECT_EQ(3, tree_.Evict(3, 99));
  EXPECT_EQ(16, tree_.Find("m", Ramp(1, 64)));
  EXPECT_EQ(1, tree_.Evict(5, 99));
  EXPECT_EQ(0, tree_.num_nodes());
  EXPECT_EQ(64u, pool_.num_free());
}

TEST_F(RadixTreeTest, WhatIsHeldPinnedOrLeasedStays) {
  Cache("m", Ramp(1, 16));
  Cache("m", Ramp(100, 16));
  Cache("m", Ramp(200, 16));
  const RadixTree::Match held = tree_.Acquire("m", Ramp(1, 16), ++now_);
  EXPECT_EQ(16, tree_.Pin("m", Ramp(100, 20)));
  tree_.Lease("m", Ramp(200, 16), 50);
  EXPECT_EQ(0, tree_.Evict(3, 49));
  EXPECT_EQ(1, tree_.Evict(3, 50));
  EXPECT_EQ(0, tree_.Find("m", Ramp(200, 16)));
  tree_.Clear();  // what a sequence holds need not stay in the tree
  EXPECT_EQ(0, tree_.Find("m", Ramp(1, 16)));
  EXPECT_EQ(16, tree_.Find("m", Ramp(100, 16)));
  tree_.Unpin("m", Ramp(100, 16));
  tree_.Clear();
  EXPECT_EQ(0, tree_.num_nodes());
  pool_.Release(held.blocks);
  EXPECT_EQ(64u, pool_.num_free());
}

TEST_F(RadixTreeTest, DropTakesWhatBeginsWithAPrefixAndNothingElse) {
  const std::vector<TokenId> system = Ramp(1, 40);
  std::vector<TokenId> a = system, b = system, other = Ramp(1, 16);
  const auto more_a = Ramp(500, 30), more_b = Ramp(700, 30), more = Ramp(900, 20);
  a.insert(a.end(), more_a.begin(), more_a.end());
  b.insert(b.end(), more_b.begin(), more_b.end());
  other.insert(other.end(), more.begin(), more.end());
  Cache("m", a);
  Cache("m", b);
  Cache("m", other);
  const RadixTree::Match held = tree_.Acquire("m", b, ++now_);
  EXPECT_GT(tree_.Drop("m", system, now_), 0);
  EXPECT_EQ(40, tree_.Find("m", a));  // as far as the other one goes
  EXPECT_EQ(70, tree_.Find("m", b));  // someone holds it
  EXPECT_EQ(36, tree_.Find("m", other));
  pool_.Release(held.blocks);
  Cache("m", a);
  tree_.Drop("m", system, now_);  // both go on from within the block where it ends
  EXPECT_EQ(16, tree_.Find("m", a));
  EXPECT_EQ(16, tree_.Find("m", b));
  EXPECT_EQ(36, tree_.Find("m", other));
  EXPECT_EQ(0, tree_.Drop("m", Ramp(40, 3), now_));
}

// 100,000 random operations against a plain set of lists; every invariant after each.
TEST(RadixTreeModel, RandomOperations) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  BlockPool pool(300);
  RadixTree tree(&pool, {1, 0.01});
  FakeBytes bytes(300);
  // Lists of few different tokens, so that they share much.
  std::set<std::pair<std::string, std::vector<TokenId>>> cached;  // never evicted from here
  for (int step = 0; step < 100000; ++step) {
    const std::string key = random() % 2 == 0 ? "a" : "b";
    std::vector<TokenId> tokens(random() % 50);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 8 == 0);
    const uint64_t now = static_cast<uint64_t>(step);
    if (random() % 3 != 0) {
      const RadixTree::Match match = tree.Acquire(key, tokens, now);
      ASSERT_TRUE(
          bytes.Holds(std::span(tokens).first(static_cast<size_t>(match.length)), match.blocks));
      int32_t longest = 0;  // nothing that was never cached may be found
      for (const auto& [its_key, list] : cached) {
        if (its_key != key) continue;
        const auto [mine, theirs] =
            std::mismatch(tokens.begin(), tokens.end(), list.begin(), list.end());
        longest = std::max(longest, static_cast<int32_t>(mine - tokens.begin()));
      }
      ASSERT_LE(match.length, longest);
      pool.Release(match.blocks);
    } else {
      Sequence sequence(&pool, &bytes, 64);
      const auto count = static_cast<int32_t>(tokens.size());
      if (sequence.BlocksNeeded(count) > pool.num_free()) tree.Evict(8, now);
      ASSERT_TRUE(sequence.Reserve(count).ok());
      bytes.Store(sequence, tokens);
      sequence.Commit(tokens);
      tree.Insert(key, tokens, sequence.blocks(), now);
      ASSERT_EQ(count, tree.Find(key, tokens));  // just cached: found whole
      if (cached.size() > 300) {
        tree.Clear();
        cached.clear();
        tree.Insert(key, tokens, sequence.blocks(), now);
      }
      cached.emplace(key, tokens);
    }
    std::string why;
    ASSERT_TRUE(tree.Check(&why)) << why << " at step " << step;
    ASSERT_EQ(300u, pool.num_free() + static_cast<uint32_t>(tree.num_nodes()));
  }
}

}  // namespace
}  // namespace gyrator

#include "engine/session_cache.h"

#include <gtest/gtest.h>

#include "kv/kv_testing.h"

namespace gyrator {
namespace {

class SessionCacheTest : public testing::Test {
 protected:
  // Stores K and V of the tokens that are not there, and gives their last row these logits.
  void Decode(std::span<const TokenId> tokens, float logit) {
    const auto rest = tokens.subspan(static_cast<size_t>(cache_.sequence().cp()));
    bytes_.Store(cache_.sequence(), rest);
    cache_.Commit(rest, std::vector<float>{logit});
  }

  BlockPool pool_{8};
  FakeBytes bytes_{8};
  SequenceManager manager_{&pool_, &bytes_, {.slots = 2}};
  SessionCache cache_{&manager_, *manager_.Open("m", 100), nullptr};
  const std::vector<TokenId> tokens_ = std::vector<TokenId>(20, 7);
};

TEST_F(SessionCacheTest, AllThatIsThereWithItsLogitsIsNothingToDecode) {
  ASSERT_TRUE(cache_.Sync(tokens_, true).ok());
  EXPECT_EQ(0, cache_.sequence().cp());
  Decode(tokens_, 3);
  ASSERT_TRUE(cache_.Sync(tokens_, true).ok());
  EXPECT_EQ(20, cache_.sequence().cp());
  EXPECT_EQ(3, cache_.logits()[0]);
}

TEST_F(SessionCacheTest, WithoutLogitsTheLastRowIsDecodedAgain) {
  ASSERT_TRUE(cache_.Sync(tokens_, true).ok());
  Decode(tokens_, 3);
  ASSERT_TRUE(cache_.Sync(std::span(tokens_).first(15), true).ok());
  EXPECT_EQ(14, cache_.sequence().cp());
  EXPECT_TRUE(cache_.logits().empty());
}

// What another one published goes beyond what the logits belong to.
TEST_F(SessionCacheTest, LogitsGoWhenTheCacheGivesMore) {
  const std::vector<TokenId> more(40, 7);
  SessionCache other(&manager_, *manager_.Open("m", 100), nullptr);
  ASSERT_TRUE(other.Sync(more, true).ok());
  bytes_.Store(other.sequence(), more);
  other.Commit(more, std::vector<float>{4});
  manager_.Publish(other.slot());
  ASSERT_TRUE(cache_.Sync(std::span(tokens_).first(16), true).ok());
  EXPECT_EQ(15, cache_.sequence().cp());  // the last row is its own, whose logits it gets
  Decode(std::span(tokens_).first(16), 3);
  ASSERT_EQ(3, cache_.logits()[0]);
  const auto reused = cache_.Sync(more, true);
  ASSERT_TRUE(reused.ok()) << reused.status().ToString();
  EXPECT_EQ(16, reused->own);
  EXPECT_EQ(23, reused->cached);
  EXPECT_EQ(39, cache_.sequence().cp());
  EXPECT_TRUE(cache_.logits().empty());
}

// One that was stopped after it was admitted and before its first row holds blocks and no tokens.
TEST_F(SessionCacheTest, AnEmptyPromptIsNothingToDecode) {
  ASSERT_TRUE(cache_.Sync(tokens_, true).ok());
  ASSERT_TRUE(manager_.Park(cache_.slot()).ok());
  const auto reused = cache_.Sync({}, true);
  ASSERT_TRUE(reused.ok()) << reused.status().ToString();
  EXPECT_EQ(0, reused->own);
  EXPECT_EQ(0, cache_.sequence().cp());
}

// A fork shares all blocks, others have the rest of the pool: there is no room to move positions.
TEST_F(SessionCacheTest, WhatCannotBeEvictedKeepsItsLogits) {
  ASSERT_TRUE(cache_.Sync(tokens_, true).ok());
  Decode(tokens_, 3);
  const SlotId fork = *manager_.Fork(cache_.slot());
  manager_.SetBusy(cache_.slot(), true);
  manager_.SetBusy(fork, true);
  std::vector<uint32_t> rest;
  ASSERT_TRUE(pool_.Allocate(pool_.num_free(), &rest).ok());
  const TokenSpan span = {4, 9};
  EXPECT_EQ("kv_pool", cache_.Evict(20, {&span, 1}).name());
  EXPECT_EQ(20, cache_.sequence().cp());
  ASSERT_EQ(1u, cache_.logits().size());
  EXPECT_EQ(3, cache_.logits()[0]);
  pool_.Release(rest);
  EXPECT_TRUE(cache_.Evict(20, {&span, 1}).ok());
  EXPECT_TRUE(cache_.logits().empty());
}

TEST_F(SessionCacheTest, WhatIsEvictedTakesTheLogitsAlong) {
  ASSERT_TRUE(cache_.Sync(tokens_, true).ok());
  Decode(tokens_, 3);
  const TokenSpan span = {4, 9};
  ASSERT_TRUE(cache_.Evict(18, {&span, 1}).ok());
  EXPECT_EQ(13, cache_.sequence().cp());
  EXPECT_TRUE(cache_.logits().empty());
}

TEST_F(SessionCacheTest, LogitsAreSharedUntilOneOfTheTwoGoesOn) {
  ASSERT_TRUE(cache_.Sync(tokens_, true).ok());
  Decode(tokens_, 3);
  SessionCache fork(&manager_, *manager_.Fork(cache_.slot()), cache_.shared_logits());
  EXPECT_EQ(cache_.logits().data(), fork.logits().data());
  std::vector<TokenId> longer = tokens_;
  longer.push_back(8);
  ASSERT_TRUE(cache_.Sync(longer, true).ok());
  Decode(longer, 4);
  EXPECT_EQ(4, cache_.logits()[0]);
  EXPECT_EQ(3, fork.logits()[0]);
}

}  // namespace
}  // namespace gyrator

// Sequence::Evict: what every position holds afterwards, and who was written.
#include <gtest/gtest.h>

#include <vector>

#include "kernels/ops.h"
#include "kv/kv_storage.h"
#include "kv/manager_testing.h"

namespace gyrator {
namespace {

struct Executor {
  explicit Executor(uint32_t num_blocks) : pool(num_blocks), bytes(num_blocks) {}

  Sequence Decode(std::span<const TokenId> tokens) {
    Sequence sequence(&pool, &bytes, 1000);
    Append(&sequence, tokens);
    return sequence;
  }
  void Append(Sequence* sequence, std::span<const TokenId> tokens) {
    ASSERT_TRUE(sequence->Reserve(static_cast<int32_t>(tokens.size())).ok());
    bytes.Store(*sequence, tokens);
    sequence->Commit(tokens);
  }

  BlockPool pool;
  FakeBytes bytes;
};

void ExpectEvicted(const Executor& executor, const Sequence& sequence,
                   std::span<const TokenId> tokens, std::span<const TokenSpan> spans) {
  EXPECT_EQ(TokensAfter(tokens, spans), sequence.tokens().ToVector());
  EXPECT_EQ(BlocksFor(sequence.cp()), std::ssize(sequence.blocks()));
  EXPECT_TRUE(executor.bytes.Holds(ContentsAfter(FakeBytes::Decoded({}, tokens), spans),
                                   sequence.blocks()));
}

TEST(SequenceEvict, ClosesTheGapInPlace) {
  Executor executor(8);
  const auto tokens = Ramp(1, 70);
  Sequence sequence = executor.Decode(tokens);
  const std::vector<uint32_t> blocks(sequence.blocks().begin(), sequence.blocks().end());
  const std::vector<TokenSpan> spans = {{20, 30}, {40, 41}, {60, 64}};
  EXPECT_EQ(0, sequence.BlocksToEvict(spans));
  ASSERT_TRUE(sequence.Evict(spans).ok());
  ExpectEvicted(executor, sequence, tokens, spans);
  EXPECT_EQ(55, sequence.cp());
  EXPECT_TRUE(std::equal(sequence.blocks().begin(), sequence.blocks().end(), blocks.begin()));
  EXPECT_EQ(4u, executor.pool.num_free());         // the last block holds nothing
  EXPECT_EQ(55 - 20, executor.bytes.num_moves());  // what stands before the gap stays
  executor.Append(&sequence, Ramp(500, 20));       // and goes on behind it
  EXPECT_EQ(75, sequence.cp());
}

TEST(SequenceEvict, EveryPairOfSpansOfAnOwnAndOfASharedSequence) {
  constexpr int32_t kLength = 37;
  const auto tokens = Ramp(1, kLength);
  for (const bool shared : {false, true})
    for (int32_t begin = 0; begin < kLength; ++begin)
      for (int32_t end = begin + 1; end <= kLength; ++end) {
        Executor executor(8);
        Sequence sequence = executor.Decode(tokens);
        Sequence other = shared ? sequence.Fork() : Sequence(&executor.pool, &executor.bytes, 1);
        std::vector<TokenSpan> spans = {{begin, end}};
        if (end + 3 < kLength) spans.push_back({end + begin % 3, end + 3});
        const int64_t needed = sequence.BlocksToEvict(spans);
        const uint32_t free = executor.pool.num_free();
        const auto first = static_cast<size_t>(begin / kBlockPositions);
        ASSERT_TRUE(sequence.Evict(spans).ok());
        ExpectEvicted(executor, sequence, tokens, spans);
        if (!shared) {
          EXPECT_EQ(0, needed);
          continue;
        }
        EXPECT_EQ(needed, free - executor.pool.num_free());
        EXPECT_TRUE(executor.bytes.Holds(other));
        EXPECT_EQ(tokens, other.tokens().ToVector());
        for (size_t i = 0; i < sequence.blocks().size() && needed > 0; ++i) {
          EXPECT_EQ(i < first, sequence.blocks()[i] == other.blocks()[i]);
        }
      }
}

// Positions come from shared blocks into own ones behind them.
TEST(SequenceEvict, SharedBlocksAreReadAndNeverWritten) {
  Executor executor(16);
  auto tokens = Ramp(1, 40);
  Sequence sequence = executor.Decode(tokens);
  Sequence other = sequence.Fork();
  const auto more = Ramp(100, 60);
  executor.Append(&sequence, more);  // the third block is copied
  const auto before = tokens;
  tokens.insert(tokens.end(), more.begin(), more.end());
  const std::vector<TokenSpan> spans = {{5, 12}, {20, 21}, {50, 90}};
  EXPECT_EQ(2, sequence.BlocksToEvict(spans));
  ASSERT_TRUE(sequence.Evict(spans).ok());
  ExpectEvicted(executor, sequence, tokens, spans);
  EXPECT_TRUE(executor.bytes.Holds(other));
  for (const uint32_t block : sequence.blocks()) EXPECT_EQ(1u, executor.pool.num_refs(block));
  for (const uint32_t block : other.blocks()) EXPECT_EQ(1u, executor.pool.num_refs(block));
}

TEST(SequenceEvict, TheEndIsATruncation) {
  Executor executor(3);
  const auto tokens = Ramp(1, 40);
  Sequence sequence = executor.Decode(tokens);
  Sequence other = sequence.Fork();
  const std::vector<TokenSpan> spans = {{20, 30}, {30, 40}};
  EXPECT_EQ(0, sequence.BlocksToEvict(spans));
  ASSERT_TRUE(sequence.Evict(spans).ok());
  EXPECT_EQ(0, executor.bytes.num_moves());
  EXPECT_TRUE(executor.bytes.Holds(sequence));
  EXPECT_EQ(20, sequence.cp());
  EXPECT_EQ(sequence.blocks()[1], other.blocks()[1]);
  const std::vector<TokenSpan> all = {{0, 20}};
  ASSERT_TRUE(sequence.Evict(all).ok());
  EXPECT_EQ(0, sequence.cp());
  EXPECT_TRUE(sequence.blocks().empty());
  ASSERT_TRUE(sequence.Evict({}).ok());
}

TEST(SequenceEvict, WhatIsReservedGoesToo) {
  Executor executor(8);
  const auto tokens = Ramp(1, 20);
  Sequence sequence = executor.Decode(tokens);
  ASSERT_TRUE(sequence.Reserve(60).ok());
  const std::vector<TokenSpan> spans = {{1, 2}};
  ASSERT_TRUE(sequence.Evict(spans).ok());
  ExpectEvicted(executor, sequence, tokens, spans);
  EXPECT_EQ(6u, executor.pool.num_free());
}

TEST(SequenceEvict, AFullPoolChangesNothing) {
  Executor executor(4);
  const auto tokens = Ramp(1, 40);
  Sequence sequence = executor.Decode(tokens);
  Sequence other = sequence.Fork();
  const std::vector<uint32_t> blocks(sequence.blocks().begin(), sequence.blocks().end());
  const std::vector<TokenSpan> spans = {{3, 4}};
  EXPECT_EQ(3, sequence.BlocksToEvict(spans));
  const Status status = sequence.Evict(spans);
  EXPECT_EQ(Code::kExhausted, status.code());
  EXPECT_EQ("kv_pool", status.name());
  EXPECT_EQ(tokens, sequence.tokens().ToVector());
  EXPECT_TRUE(std::equal(blocks.begin(), blocks.end(), sequence.blocks().begin()));
  EXPECT_TRUE(executor.bytes.Holds(sequence));
  EXPECT_EQ(1u, executor.pool.num_free());
  EXPECT_EQ(2u, executor.pool.num_refs(blocks[0]));
}

TEST(SequenceEvictDeath, SpansThatAreNoneAreABug) {
  Executor executor(4);
  Sequence sequence = executor.Decode(Ramp(1, 40));
  using Spans = std::vector<TokenSpan>;
  for (const Spans& spans : {Spans{{-1, 3}}, Spans{{3, 3}}, Spans{{30, 41}}, Spans{{5, 7}, {6, 8}},
                             Spans{{5, 7}, {1, 2}}}) {
    EXPECT_DEATH(static_cast<void>(sequence.Evict(spans)), "check failed");
  }
}

// int8 cannot keep what a turn makes of it: only a folder can bring such keys.
TEST(SequenceEvict, AKeyThatCannotBeKeptEndsTheSequenceBeforeTheGap) {
  auto storage = KvStorage::Create(
      {.dtype = DType::kI8, .num_layers = 1, .num_blocks = 8, .num_kv_heads = 1, .head_dim = 32},
      {.inv_freq = {0.8f}, .rotary_dim = 2, .style = RopeStyle::kHalf, .ops = FindOps("ref")});
  ASSERT_TRUE(storage.ok());
  BlockPool pool(8);
  SequenceManager manager(&pool, storage->get(), {.slots = 1});
  const SlotId slot = *manager.Open("m", 100);
  ASSERT_TRUE(manager.Reserve(slot, 40).ok());
  for (int32_t p = 0; p < 40; ++p) {
    const std::vector<float> key(32, p == 35 ? 3e38f : 1.0f);
    const KvPlace place = {0, manager.sequence(slot).blocks()[static_cast<size_t>(p / 16)], p % 16};
    ASSERT_TRUE(StoreKv(*FindOps("ref"), (*storage)->view(), place, key.data(), key.data()));
  }
  manager.Commit(slot, Ramp(1, 40));
  const std::vector<TokenSpan> after = {{36, 37}}, before = {{20, 21}};
  ASSERT_TRUE(manager.Evict(slot, after).ok());
  const Status status = manager.Evict(slot, before);
  EXPECT_EQ("not_finite", status.name());
  EXPECT_NE(std::string::npos, status.message().find("int8")) << status.message();
  EXPECT_EQ(Ramp(1, 20), manager.tokens(slot).ToVector());
  EXPECT_FALSE(manager.HoldsItsOwn(slot));
  std::string why;
  EXPECT_TRUE(manager.Check(&why)) << why;
}

}  // namespace
}  // namespace gyrator

#include "kv/sequence.h"

#include <gtest/gtest.h>

#include "kv/kv_storage.h"
#include "kv/kv_testing.h"

namespace gyrator {
namespace {

TEST(BlockPool, AllOrNothingLowestFirst) {
  BlockPool pool(4);
  std::vector<uint32_t> blocks;
  ASSERT_TRUE(pool.Allocate(3, &blocks).ok());
  EXPECT_EQ((std::vector<uint32_t>{0, 1, 2}), blocks);
  std::vector<uint32_t> more;
  EXPECT_EQ(Code::kExhausted, pool.Allocate(2, &more).code());
  EXPECT_TRUE(more.empty());
  EXPECT_EQ(1u, pool.num_free());
  pool.Share(std::span(blocks).first(1));
  pool.Release(blocks);
  EXPECT_EQ(3u, pool.num_free());  // block 0 has a reference left
  ASSERT_TRUE(pool.Allocate(1, &more).ok());
  EXPECT_EQ(1u, more[0]);
}

TEST(BlockPoolDeath, DoubleReleaseIsABug) {
  BlockPool pool(1);
  std::vector<uint32_t> blocks;
  ASSERT_TRUE(pool.Allocate(1, &blocks).ok());
  pool.Release(blocks);
  EXPECT_DEATH(pool.Release(blocks), "check failed");
}

TEST(Sequence, CapacityIsATypedErrorThatChangesNothing) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence sequence(&pool, &bytes, 20);
  ASSERT_TRUE(sequence.Reserve(17).ok());
  sequence.Commit(std::vector<TokenId>(17, 3));
  const Status status = sequence.Reserve(4);
  EXPECT_EQ(Code::kExhausted, status.code());
  EXPECT_EQ("capacity", status.name());
  EXPECT_NE(std::string::npos, status.message().find("cp 17"));
  EXPECT_NE(std::string::npos, status.message().find("20 tokens"));
  EXPECT_EQ(17, sequence.cp());
  EXPECT_EQ(6u, pool.num_free());
  EXPECT_TRUE(sequence.Reserve(3).ok());
}

TEST(Sequence, CommonPrefixStopsAtTheFirstDifference) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence sequence(&pool, &bytes, 64);
  ASSERT_TRUE(sequence.Reserve(4).ok());
  sequence.Commit(std::vector<TokenId>{1, 2, 3, 4});
  EXPECT_EQ(4, sequence.CommonPrefix(std::vector<TokenId>{1, 2, 3, 4, 5}));
  EXPECT_EQ(2, sequence.CommonPrefix(std::vector<TokenId>{1, 2, 9, 4}));
  EXPECT_EQ(1, sequence.CommonPrefix(std::vector<TokenId>{1}));
  EXPECT_EQ(0, sequence.CommonPrefix({}));
}

TEST(Sequence, AForkTakesNoBlockUntilItDiffersAndOneThen) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence parent(&pool, &bytes, 64);
  const std::vector<TokenId> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
  ASSERT_TRUE(parent.Reserve(17).ok());
  bytes.Store(parent, tokens);
  parent.Commit(tokens);
  Sequence child = parent.Fork();
  EXPECT_EQ(6u, pool.num_free());
  EXPECT_EQ(17, child.cp());
  EXPECT_EQ(1, child.BlocksNeeded(15));
  ASSERT_TRUE(child.Reserve(1).ok());
  EXPECT_EQ(1, bytes.num_copies());
  EXPECT_EQ(5u, pool.num_free());
  bytes.Store(child, std::vector<TokenId>{99});
  child.Commit(std::vector<TokenId>{99});
  ASSERT_TRUE(parent.Reserve(1).ok());  // alone in its block again
  EXPECT_EQ(1, bytes.num_copies());
  EXPECT_EQ(5u, pool.num_free());
  bytes.Store(parent, std::vector<TokenId>{18});
  parent.Commit(std::vector<TokenId>{18});
  EXPECT_TRUE(bytes.Holds(parent));
  EXPECT_TRUE(bytes.Holds(child));
  EXPECT_EQ(parent.blocks()[0], child.blocks()[0]);
  EXPECT_NE(parent.blocks()[1], child.blocks()[1]);
}

TEST(Sequence, AForkOnABlockBoundaryCopiesNothing) {
  BlockPool pool(8);
  FakeBytes bytes(8);
  Sequence parent(&pool, &bytes, 64);
  ASSERT_TRUE(parent.Reserve(16).ok());
  parent.Commit(std::vector<TokenId>(16, 1));
  Sequence child = parent.Fork();
  ASSERT_TRUE(child.Reserve(1).ok());
  EXPECT_EQ(0, bytes.num_copies());
}

TEST(Sequence, ACopyThatDoesNotFitChangesNothing) {
  BlockPool pool(1);
  FakeBytes bytes(1);
  Sequence parent(&pool, &bytes, 64);
  ASSERT_TRUE(parent.Reserve(3).ok());
  parent.Commit(std::vector<TokenId>(3, 1));
  Sequence child = parent.Fork();
  EXPECT_EQ(Code::kExhausted, child.Reserve(1).code());
  EXPECT_EQ(3, child.cp());
  EXPECT_EQ(parent.blocks()[0], child.blocks()[0]);
  EXPECT_EQ(2u, pool.num_refs(0));
}

TEST(TokenList, CopiesShareUntilOneChanges) {
  TokenList list;
  const std::vector<TokenId> tokens = {1, 2, 3, 4};
  list.Append(tokens);
  TokenList copy = list.Share();
  copy.Truncate(2);
  copy.Append(std::vector<TokenId>{9, 8});
  list.Append(std::vector<TokenId>{5});
  EXPECT_EQ((std::vector<TokenId>{1, 2, 3, 4, 5}), list.ToVector());
  EXPECT_EQ((std::vector<TokenId>{1, 2, 9, 8}), copy.ToVector());
  EXPECT_EQ(2, list.CommonPrefix(copy.ToVector()));
  TokenList third = copy.Share();
  third.Truncate(0);
  EXPECT_EQ(0, third.size());
  EXPECT_EQ(4, copy.size());
}

TEST(KvStorage, BlocksOfLayersAndHeadsDoNotOverlap) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    const int32_t head_dim = dtype == DType::kI8 ? 64 : 6;
    auto storage = KvStorage::Create({.dtype = dtype,
                                      .num_layers = 2,
                                      .num_blocks = 3,
                                      .num_kv_heads = 2,
                                      .head_dim = head_dim});
    ASSERT_TRUE(storage.ok());
    const PagedKv& kv = (*storage)->view();
    std::vector<int> touched(static_cast<size_t>(kv.total_bytes() / kv.element_bytes()), 0);
    const auto touch = [&](const std::byte* head, int64_t index) {
      ++touched[static_cast<size_t>((head - kv.base) / kv.element_bytes() + index)];
    };
    for (int layer = 0; layer < 2; ++layer)
      for (uint32_t block = 0; block < 3; ++block)
        for (int head = 0; head < 2; ++head)
          for (int slot = 0; slot < kBlockPositions; ++slot) {
            for (int dim = 0; dim < head_dim; ++dim) {
              touch(kv.keys(layer, block, head), KeyIndex(dtype, dim, slot));
              touch(kv.values(layer, block, head), ValueIndex(dtype, dim, slot, head_dim));
            }
            for (int byte = 0; byte < kv.num_groups() * 4; ++byte) {
              const int64_t scale = ScaleIndex(byte / 4, slot);
              for (std::byte* half : {kv.keys(layer, block, head), kv.values(layer, block, head)}) {
                touch(reinterpret_cast<std::byte*>(kv.scales(half) + scale), byte % 4);
              }
            }
          }
    for (int count : touched) ASSERT_EQ(1, count);
  }
}

TEST(KvStorage, RefusesWhatItCannotHold) {
  EXPECT_EQ(Code::kInvalidArgument, KvStorage::Create({.dtype = DType::kI16,
                                                       .num_layers = 1,
                                                       .num_blocks = 1,
                                                       .num_kv_heads = 1,
                                                       .head_dim = 2})
                                        .status()
                                        .code());
  const Status groups = KvStorage::Create({.dtype = DType::kI8,
                                           .num_layers = 1,
                                           .num_blocks = 1,
                                           .num_kv_heads = 1,
                                           .head_dim = 48})
                            .status();
  EXPECT_EQ(Code::kUnsupported, groups.code());
  EXPECT_NE(std::string::npos, groups.message().find("48")) << groups.message();
  EXPECT_EQ(Code::kInvalidArgument, KvStorage::Create({.dtype = DType::kF32,
                                                       .num_layers = 1,
                                                       .num_blocks = 1,
                                                       .num_kv_heads = 1,
                                                       .head_dim = 3})
                                        .status()
                                        .code());
}

}  // namespace
}  // namespace gyrator

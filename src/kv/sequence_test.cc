#include "kv/sequence.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "kv/kv_storage.h"

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
  Sequence sequence(&pool, 20);
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
  Sequence sequence(&pool, 64);
  ASSERT_TRUE(sequence.Reserve(4).ok());
  sequence.Commit(std::vector<TokenId>{1, 2, 3, 4});
  EXPECT_EQ(4, sequence.CommonPrefix(std::vector<TokenId>{1, 2, 3, 4, 5}));
  EXPECT_EQ(2, sequence.CommonPrefix(std::vector<TokenId>{1, 2, 9, 4}));
  EXPECT_EQ(1, sequence.CommonPrefix(std::vector<TokenId>{1}));
  EXPECT_EQ(0, sequence.CommonPrefix({}));
}

// Random operations against plain vectors; blocks are conserved and never shared by accident.
TEST(Sequence, RandomOperationsAgainstAModel) {
  const uint32_t seed = 20261121;
  std::mt19937 random(seed);
  SCOPED_TRACE(seed);
  BlockPool pool(40);
  std::vector<Sequence> sequences;
  std::vector<std::vector<TokenId>> models(5);
  for (int i = 0; i < 5; ++i) sequences.emplace_back(&pool, 200);
  for (int step = 0; step < 20000; ++step) {
    const size_t i = random() % sequences.size();
    if (random() % 3 != 0) {
      const std::vector<TokenId> tokens(random() % 40, static_cast<TokenId>(random() % 1000));
      if (sequences[i].Reserve(static_cast<int32_t>(tokens.size())).ok()) {
        sequences[i].Commit(tokens);
        models[i].insert(models[i].end(), tokens.begin(), tokens.end());
      } else {
        const uint32_t have = static_cast<uint32_t>(sequences[i].table().num_blocks);
        const size_t end = models[i].size() + tokens.size();
        EXPECT_TRUE(end > 200 || (end + 15) / 16 - have > pool.num_free());
      }
    } else {
      const auto length = static_cast<int32_t>(random() % (models[i].size() + 1));
      sequences[i].Truncate(length);
      models[i].resize(static_cast<size_t>(length));
    }
    std::map<uint32_t, int> used;
    for (size_t s = 0; s < sequences.size(); ++s) {
      ASSERT_EQ(models[s].size(), sequences[s].tokens().size());
      ASSERT_TRUE(std::equal(models[s].begin(), models[s].end(), sequences[s].tokens().begin()));
      for (int32_t b = 0; b < sequences[s].table().num_blocks; ++b)
        ++used[sequences[s].table().blocks[b]];
    }
    for (const auto& [block, count] : used) ASSERT_EQ(1, count) << block;
    ASSERT_EQ(40u - used.size(), pool.num_free());
  }
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

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kLayers = 2, kKvHeads = 2;

// A pool of shuffled blocks that holds `positions` positions of one sequence; what no position has
// written is NaN.
class Pool {
 public:
  Pool(DType dtype, int32_t head_dim, int32_t positions, uint32_t seed) {
    const int32_t used = (positions + kBlockPositions - 1) / kBlockPositions;
    kv_ = {.dtype = dtype,
           .num_layers = kLayers,
           .num_blocks = used + 3,
           .num_kv_heads = kKvHeads,
           .head_dim = head_dim};
    bytes_.assign(static_cast<size_t>(kv_.total_bytes()), std::byte{0xff});  // NaN in every dtype
    kv_.base = bytes_.data();
    for (int32_t b = 0; b < kv_.num_blocks; ++b) blocks_.push_back(static_cast<uint32_t>(b));
    std::shuffle(blocks_.begin(), blocks_.end(), std::mt19937(seed));
    blocks_.resize(static_cast<size_t>(used));
    const auto dim = static_cast<size_t>(head_dim);
    for (Position p = 0; p < positions; ++p) {
      for (int32_t h = 0; h < kKvHeads; ++h) {
        const uint32_t stream = 1000u + static_cast<uint32_t>(p * kKvHeads + h);
        const auto key = RandomFloats(dim, stream), value = RandomFloats(dim, stream + (1u << 20));
        const KvPlace place = {1, blocks_[static_cast<size_t>(p / kBlockPositions)],
                               p % kBlockPositions, h};
        EXPECT_TRUE(StoreKv(RefOps(), kv_, place, key.data(), value.data()));
      }
    }
  }

  // Of the same sequence, the bf16 values that `other` stands for.
  static Pool Bf16Of(const Pool& other);

  const PagedKv& kv() const { return kv_; }
  BlockTableView table() const { return {blocks_.data(), static_cast<int32_t>(blocks_.size())}; }

 private:
  PagedKv kv_;
  std::vector<std::byte> bytes_;
  std::vector<uint32_t> blocks_;
};

// What the definition says of int8, written out a second time: bf16(scale * q).
float Int8Value(const Pool& pool, std::byte* head, int64_t index, int64_t scale) {
  const auto q = static_cast<float>(reinterpret_cast<const int8_t*>(head)[index]);
  return BF16ToF32(
      F32ToBF16(reinterpret_cast<const float*>(head + pool.kv().head_dim * 16)[scale] * q));
}

Pool Pool::Bf16Of(const Pool& other) {
  Pool pool(DType::kBF16, other.kv().head_dim, 0, 0);
  pool.kv_.num_blocks = other.kv().num_blocks;
  pool.bytes_.assign(static_cast<size_t>(pool.kv_.total_bytes()), std::byte{0xff});
  pool.kv_.base = pool.bytes_.data();
  pool.blocks_ = other.blocks_;
  const int32_t dim = other.kv().head_dim;
  std::vector<float> key(static_cast<size_t>(dim)), value(key);
  for (const uint32_t block : other.blocks_) {
    for (int32_t h = 0; h < kKvHeads; ++h) {
      for (int32_t slot = 0; slot < kBlockPositions; ++slot) {
        for (int32_t d = 0; d < dim; ++d) {
          const int64_t scale = d / 32 * 16 + slot;
          key[static_cast<size_t>(d)] = Int8Value(other, other.kv().keys(1, block, h),
                                                  (d / 2 * 16 + slot) * 2 + d % 2, scale);
          value[static_cast<size_t>(d)] = Int8Value(other, other.kv().values(1, block, h),
                                                    (slot / 2 * dim + d) * 2 + slot % 2, scale);
        }
        EXPECT_TRUE(StoreKv(RefOps(), pool.kv_, {1, block, slot, h}, key.data(), value.data()));
      }
    }
  }
  return pool;
}

struct Rows {
  Position first = 0;
  int32_t count = 0;
  int32_t heads = 1;
};

// `by_spans`: in two steps, span after span from the last one on.
std::vector<float> Attend(const Ops& ops, const Pool& pool, const Rows& rows, Position q_first = 0,
                          bool by_spans = false) {
  const int64_t stride = int64_t{rows.heads} * pool.kv().head_dim + 3;
  const Position end = rows.first + rows.count;
  const auto q = RandomFloats(static_cast<size_t>((end - q_first) * stride), 99);
  std::vector<float> out(static_cast<size_t>(rows.count * stride), 0.25f);
  const AttentionArgs args = {.kv = &pool.kv(),
                              .layer = 1,
                              .kv_head = 1,
                              .table = pool.table(),
                              .first_position = rows.first,
                              .num_rows = rows.count,
                              .heads_per_kv = rows.heads,
                              .q_row_stride = stride,
                              .q = q.data() + (rows.first - q_first) * stride,
                              .out = out.data(),
                              .scale = 1.0f / std::sqrt(static_cast<float>(pool.kv().head_dim))};
  if (!by_spans) {
    ops.attention(args);
    return out;
  }
  const auto spans = static_cast<size_t>((end + kAttentionSpan - 1) / kAttentionSpan);
  const auto of_span = static_cast<size_t>(int64_t{rows.count} * rows.heads *
                                           AttentionPartialFloats(pool.kv().head_dim));
  std::vector<float> partials(spans * of_span, std::numeric_limits<float>::quiet_NaN());
  for (size_t i = spans; i-- > 0;) {
    ops.attention_span(args, static_cast<Position>(i) * kAttentionSpan,
                       partials.data() + i * of_span);
  }
  ops.merge_spans(args, partials.data());
  return out;
}

class Attention : public OpsTest {};
INSTANTIATE_TEST_SUITE_P(All, Attention, testing::ValuesIn(TestedOps()), OpsTestName);

TEST_P(Attention, EqualsTheReference) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (int32_t dim = 2; dim <= 70; dim += 2) {
      const int32_t positions = dim * 3 % 75 + 1;
      const Pool pool(dtype, dim, positions, 5);
      const Rows rows{0, positions, dim % 5 + 1};
      const auto out = Attend(ops(), pool, rows);
      ASSERT_TRUE(SameBits(Attend(RefOps(), pool, rows), out)) << DTypeName(dtype) << " " << dim;
      ASSERT_TRUE(std::none_of(out.begin(), out.end(), [](float x) { return std::isnan(x); }));
    }
    for (int32_t dim : {96, 128, 256}) {
      const Pool pool(dtype, dim, 70, 5);
      ASSERT_TRUE(SameBits(Attend(RefOps(), pool, {66, 4, 3}), Attend(ops(), pool, {66, 4, 3})))
          << dim;
    }
  }
}

TEST_P(Attention, EqualsTheReferenceAtEveryNumberOfPositions) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (int32_t positions = 1; positions <= 70; ++positions) {
      // The last block's other slots are NaN: a masked slot that reached a sum would show.
      const Pool pool(dtype, 16, positions, 6);
      const Rows rows{positions - 1, 1, 4};
      const auto out = Attend(ops(), pool, rows);
      ASSERT_TRUE(SameBits(Attend(RefOps(), pool, rows), out))
          << DTypeName(dtype) << " " << positions;
      ASSERT_TRUE(std::none_of(out.begin(), out.end(), [](float x) { return std::isnan(x); }));
    }
  }
}

TEST_P(Attention, EqualsTheReferenceOverSpans) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    const Pool pool(dtype, dtype == DType::kI8 ? 32 : 8, 2100, 7);
    for (Position first : {1022, 1023, 1024, 1055, 2046, 2048, 2080}) {
      const Rows rows{first, 5, 2};
      ASSERT_TRUE(SameBits(Attend(RefOps(), pool, rows), Attend(ops(), pool, rows))) << first;
    }
  }
}

TEST_P(Attention, SpansAloneMergeToTheSameBits) {
  const auto expect_same = [&](const Pool& pool, Position first) {
    const Rows rows{first, 5, 2};  // of which some may see a span less
    EXPECT_TRUE(SameBits(Attend(ops(), pool, rows), Attend(ops(), pool, rows, 0, true)))
        << DTypeName(pool.kv().dtype) << " " << pool.kv().head_dim << " " << first;
  };
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kI8}) {
    const Pool pool(dtype, dtype == DType::kI8 ? 32 : 24, 2100, 7);
    for (const Position first : {0, 1019, 1024, 2046}) expect_same(pool, first);
  }
  expect_same(Pool(DType::kF32, 1056, 1030, 7), 1022);  // wider than the kernels take
}

// Queries enough for tiles of 16 and of 32 of them, whole and ragged.
TEST_P(Attention, EqualsTheReferenceWithManyQueries) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    for (int32_t dim : {32, 48, 64, 128}) {
      if (dtype == DType::kI8 && dim % 32 != 0) continue;
      const Pool pool(dtype, dim, 1100, 9);
      for (const Rows& rows : {Rows{0, 70, 4}, {33, 48, 1}, {64, 21, 3}, {1010, 40, 4}}) {
        ASSERT_TRUE(SameBits(Attend(RefOps(), pool, rows), Attend(ops(), pool, rows)))
            << DTypeName(dtype) << " " << dim << " " << rows.first;
      }
    }
  }
}

TEST_P(Attention, Int8EqualsTheReferenceAndBf16OfItsValues) {
  for (const int32_t dim : {32, 64, 96, 128, 1024, 1056}) {
    const Pool pool(DType::kI8, dim, 70, 5);
    const Pool bf16 = Pool::Bf16Of(pool);
    for (const Rows& rows : {Rows{66, 4, 3}, Rows{0, 70, 1}, Rows{69, 1, 4}}) {
      if (dim > 128 && rows.count == 70) continue;
      const auto expected = Attend(RefOps(), bf16, rows);
      ASSERT_TRUE(SameBits(expected, Attend(RefOps(), pool, rows))) << dim << " " << rows.first;
      ASSERT_TRUE(SameBits(expected, Attend(ops(), pool, rows))) << dim << " " << rows.first;
      ASSERT_TRUE(SameBits(expected, Attend(ops(), bf16, rows))) << dim << " " << rows.first;
      ASSERT_TRUE(
          std::none_of(expected.begin(), expected.end(), [](float x) { return std::isnan(x); }));
    }
  }
}

// What no StoreKv wrote: every int8 (-128 too), scales of either sign, denormal, tiny, huge.
TEST_P(Attention, Int8OfAnyBytesEqualsTheReference) {
  const Pool pool(DType::kI8, 64, 70, 5);
  const PagedKv& kv = pool.kv();
  const size_t scales = 64 / 32 * 16,
               heads = static_cast<size_t>(kv.total_bytes() / kv.head_bytes());
  const auto wild = RandomFloats(heads * scales, 3, Values::kWild);
  std::minstd_rand random(4);
  for (size_t h = 0; h < heads; ++h) {
    std::byte* head = kv.base + static_cast<int64_t>(h) * kv.head_bytes();
    for (int i = 0; i < 64 * 16; ++i) head[i] = static_cast<std::byte>(random() >> 8);
    std::memcpy(kv.scales(head), &wild[h * scales], scales * sizeof(float));
  }
  for (const Rows& rows : {Rows{66, 4, 3}, Rows{0, 70, 4}}) {
    ASSERT_TRUE(SameBits(Attend(RefOps(), pool, rows), Attend(ops(), pool, rows))) << rows.first;
  }
}

TEST_P(Attention, ANotANumberInAnyScaleShowsAndInLaterOnesDoesNot) {
  for (const uint32_t bits : {0x7f800001u, 0x7fc00001u, 0x7fffffffu, 0xffffffffu}) {
    for (const bool values : {false, true}) {
      const Pool pool(DType::kI8, 64, 48, 4);
      const uint32_t block = pool.table().blocks[2];
      std::byte* head = values ? pool.kv().values(1, block, 1) : pool.kv().keys(1, block, 1);
      pool.kv().scales(head)[ScaleIndex(0, 5)] = std::bit_cast<float>(bits);  // position 37
      const auto out = Attend(ops(), pool, {0, 48, 2});
      for (size_t row = 0; row < 48; ++row) {
        EXPECT_EQ(std::isnan(out[row * (2 * 64 + 3) + 31]), row >= 37) << row << " " << values;
      }
    }
  }
}

TEST_P(Attention, Int8EqualsTheReferenceAtEveryNumberOfPositions) {
  for (int32_t positions = 1; positions <= 70; ++positions) {
    const Pool pool(DType::kI8, 32, positions, 6);  // other slots: scales that are NaN
    const Rows rows{positions - 1, 1, 4};
    const auto out = Attend(ops(), pool, rows);
    ASSERT_TRUE(SameBits(Attend(RefOps(), pool, rows), out)) << positions;
    ASSERT_TRUE(std::none_of(out.begin(), out.end(), [](float x) { return std::isnan(x); }));
  }
}

TEST_P(Attention, BitsDoNotDependOnTheChunks) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    const int32_t positions = 1060, begin = 1000;  // a span ends between them
    const Pool pool(dtype, dtype == DType::kI8 ? 32 : 20, positions, 8);
    const auto whole = Attend(ops(), pool, {begin, positions - begin, 3}, begin);
    for (int32_t chunk : {1, 7, 64}) {
      std::vector<float> parts;
      for (Position first = begin; first < positions; first += chunk) {
        const Rows rows{first, std::min(chunk, positions - first), 3};
        const auto part = Attend(ops(), pool, rows, begin);
        parts.insert(parts.end(), part.begin(), part.end());
      }
      ASSERT_TRUE(SameBits(whole, parts)) << chunk;
    }
  }
}

TEST_P(Attention, BitsDoNotDependOnThePlaceOfBlocks) {
  for (DType dtype : {DType::kBF16, DType::kI8}) {
    const Pool one(dtype, 64, 200, 1), other(dtype, 64, 200, 2);
    EXPECT_TRUE(SameBits(Attend(ops(), one, {100, 100, 4}), Attend(ops(), other, {100, 100, 4})));
  }
}

TEST_P(Attention, WeightsAreASoftmax) {
  const Pool pool(DType::kF32, 32, 90, 3);
  const PagedKv& kv = pool.kv();
  const Rows rows{89, 1, 1};
  const auto out = Attend(ops(), pool, rows);
  const auto q = RandomFloats(90 * 35, 99);
  const float* query = q.data() + 89 * 35;
  std::vector<double> weight(90), expected(32, 0.0);
  double sum = 0;
  const auto at = [&](const std::byte* base, int64_t i) {
    return static_cast<double>(reinterpret_cast<const float*>(base)[i]);
  };
  for (int32_t p = 0; p < 90; ++p) {
    const uint32_t block = pool.table().blocks[p / 16];
    double dot = 0;
    for (int32_t d = 0; d < 32; ++d) dot += query[d] * at(kv.keys(1, block, 1), d * 16 + p % 16);
    sum += weight[static_cast<size_t>(p)] = std::exp(dot / std::sqrt(32.0));
  }
  for (int32_t p = 0; p < 90; ++p) {
    const uint32_t block = pool.table().blocks[p / 16];
    for (int32_t d = 0; d < 32; ++d) {
      expected[static_cast<size_t>(d)] +=
          weight[static_cast<size_t>(p)] / sum * at(kv.values(1, block, 1), p % 16 * 32 + d);
    }
  }
  for (size_t d = 0; d < 32; ++d) EXPECT_NEAR(out[d], expected[d], 2e-6);
}

TEST_P(Attention, ANotANumberInAnyKeyShowsAndInLaterOnesDoesNot) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const Pool pool(dtype, 16, 48, 4);
    // A NaN with a payload, in the key alone: only exp can carry it to the sums.
    const std::vector<float> bad(16, std::bit_cast<float>(0x7fc00001u)), good(16, 1.0f);
    const KvPlace place = {1, pool.table().blocks[2], 5, 1};  // position 37
    ASSERT_TRUE(StoreKv(ops(), pool.kv(), place, bad.data(), good.data()));
    const auto out = Attend(ops(), pool, {0, 48, 2});
    const size_t stride = 2 * 16 + 3;
    for (size_t row = 0; row < 48; ++row) {
      EXPECT_EQ(std::isnan(out[row * stride]), row >= 37) << row;
      EXPECT_EQ(std::isnan(out[row * stride + 31]), row >= 37) << row;
    }
  }
}

}  // namespace
}  // namespace gyrator

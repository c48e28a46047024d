#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "kernels/ops_testing.h"

namespace gyrator {
namespace {

// Where the contract of paged_kv.h puts dimension d of slot s, written out a second time.
size_t ExpectedKey(DType dtype, size_t d, size_t s) {
  return dtype == DType::kBF16 ? (d / 2 * 16 + s) * 2 + d % 2 : d * 16 + s;
}
size_t ExpectedValue(DType dtype, size_t d, size_t s, size_t dim) {
  return dtype == DType::kBF16 ? (s / 2 * dim + d) * 2 + s % 2 : s * dim + d;
}

class StoreKvInt8 : public OpsTest {};
INSTANTIATE_TEST_SUITE_P(All, StoreKvInt8, testing::ValuesIn(TestedOps()), OpsTestName);

TEST(StoreKv, PutsEveryElementWhereTheLayoutSaysAndNothingElsewhere) {
  constexpr size_t kDim = 6;
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    PagedKv kv{
        .dtype = dtype, .num_layers = 2, .num_blocks = 3, .num_kv_heads = 2, .head_dim = kDim};
    std::vector<std::byte> pool(static_cast<size_t>(kv.total_bytes()));
    std::vector<std::byte> expected = pool;
    const auto size = static_cast<size_t>(kv.element_bytes());
    const size_t head = size * kDim * 16;
    const size_t keys = ((1 * 3 + 2) * 2 * 2 + 1) * head;  // layer 1, block 2, kv head 1
    kv.base = pool.data();
    for (size_t slot = 0; slot < 16; ++slot) {
      float key[kDim], value[kDim];
      for (size_t d = 0; d < kDim; ++d) {
        key[d] = 1.0f + 0.001f * static_cast<float>(slot * kDim + d);
        value[d] = -key[d];
        const auto put = [&](size_t at, float x) {
          const uint16_t half = dtype == DType::kBF16 ? F32ToBF16(x) : F32ToF16(x);
          if (dtype == DType::kF32) std::memcpy(&expected[at], &x, 4);
          if (dtype != DType::kF32) std::memcpy(&expected[at], &half, 2);
        };
        put(keys + ExpectedKey(dtype, d, slot) * size, key[d]);
        put(keys + 2 * head + ExpectedValue(dtype, d, slot, kDim) * size, value[d]);
      }
      ASSERT_TRUE(StoreKv(RefOps(), kv, {1, 2, static_cast<int32_t>(slot), 1}, key, value));
    }
    EXPECT_EQ(pool, expected) << DTypeName(dtype);
  }
}

// Groups that are known to the last bit: each element is a multiple of amax / 127, or lies between
// two and goes to the even one.
struct Group {
  float amax;
  float x;  // the other elements, of either sign
  int8_t q;
  float scale;
};
constexpr Group kGroups[] = {
    {127.0f, 3.0f, 3, 1.0f},      // exact
    {127.0f, 2.5f, 2, 1.0f},      // halves go to even
    {127.0f, 3.5f, 4, 1.0f},      //
    {254.0f, 252.9f, 126, 2.0f},  // 126.45
    {127.0f, 127.0f, 127, 1.0f},  // all of them the highest, or the lowest
    {0.0f, 0.0f, 0, 0.0f},        // zeros: no division by the scale
    {1e-38f, 1e-38f, 0, 0.0f},    // the scale would be a denormal: flushed, as are all q
    {0x1p-119f * 127, 0x1p-119f * 5, 5, 0x1p-119f},
};

TEST_P(StoreKvInt8, QuantizesGroupsAsDefinedAndPutsThemWhereTheLayoutSays) {
  constexpr size_t kDim = 96;
  PagedKv kv{
      .dtype = DType::kI8, .num_layers = 2, .num_blocks = 3, .num_kv_heads = 2, .head_dim = kDim};
  const size_t head = kDim * 16 + kDim / 32 * 16 * 4;
  EXPECT_EQ(kv.head_bytes(), static_cast<int64_t>(head));
  EXPECT_EQ(kv.block_bytes(), static_cast<int64_t>(head * 4));
  EXPECT_EQ(kv.total_bytes(), static_cast<int64_t>(head * 4 * 6));
  std::vector<std::byte> pool(static_cast<size_t>(kv.total_bytes()));
  std::vector<std::byte> expected = pool;
  const size_t keys = ((1 * 3 + 2) * 2 * 2 + 1) * head;  // layer 1, block 2, kv head 1
  kv.base = pool.data();
  for (size_t slot = 0; slot < 16; ++slot) {
    float key[kDim], value[kDim];
    const auto put = [&](size_t d, size_t which, size_t half, size_t element) {
      const Group& group = kGroups[(slot + d / 32 + which) % std::size(kGroups)];
      const bool top = d % 32 == slot, minus = (d + slot + which) % 2 != 0;
      const int q = top ? (group.scale == 0 ? 0 : 127) : group.q;
      expected[half + element] = static_cast<std::byte>(minus ? -q : q);
      std::memcpy(&expected[half + kDim * 16 + (d / 32 * 16 + slot) * 4], &group.scale, 4);
      return (top ? group.amax : group.x) * (minus ? -1.0f : 1.0f);
    };
    for (size_t d = 0; d < kDim; ++d) {  // values have other groups than keys
      key[d] = put(d, 0, keys, (d / 2 * 16 + slot) * 2 + d % 2);
      value[d] = put(d, 3, keys + 2 * head, (slot / 2 * kDim + d) * 2 + slot % 2);
    }
    ASSERT_TRUE(StoreKv(ops(), kv, {1, 2, static_cast<int32_t>(slot), 1}, key, value));
  }
  EXPECT_EQ(pool, expected);
}

TEST_P(StoreKvInt8, WhatIsNotFiniteIsRefused) {
  PagedKv kv{
      .dtype = DType::kI8, .num_layers = 1, .num_blocks = 1, .num_kv_heads = 1, .head_dim = 64};
  std::vector<std::byte> pool(static_cast<size_t>(kv.total_bytes()));
  kv.base = pool.data();
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    for (const size_t at : {0u, 31u, 63u}) {
      std::vector<float> good(64, 1.0f), with(good);
      with[at] = bad;
      EXPECT_TRUE(StoreKv(ops(), kv, {}, good.data(), good.data()));
      EXPECT_FALSE(StoreKv(ops(), kv, {}, with.data(), good.data())) << bad << at;
      EXPECT_FALSE(StoreKv(ops(), kv, {}, good.data(), with.data())) << bad << at;
      kv.dtype = DType::kBF16;  // the float types keep it
      std::vector<std::byte> wide(static_cast<size_t>(kv.total_bytes()));
      PagedKv bf16 = kv;
      bf16.base = wide.data();
      EXPECT_TRUE(StoreKv(ops(), bf16, {}, with.data(), with.data()));
      kv.dtype = DType::kI8;
    }
  }
}

}  // namespace
}  // namespace gyrator

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "kernels/ops.h"

namespace gyrator {
namespace {

// Where the contract of paged_kv.h puts dimension d of slot s, written out a second time.
size_t ExpectedKey(DType dtype, size_t d, size_t s) {
  return dtype == DType::kBF16 ? (d / 2 * 16 + s) * 2 + d % 2 : d * 16 + s;
}
size_t ExpectedValue(DType dtype, size_t d, size_t s, size_t dim) {
  return dtype == DType::kBF16 ? (s / 2 * dim + d) * 2 + s % 2 : s * dim + d;
}

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
      StoreKv(kv, 1, 2, static_cast<int32_t>(slot), 1, key, value);
    }
    EXPECT_EQ(pool, expected) << DTypeName(dtype);
  }
}

}  // namespace
}  // namespace gyrator

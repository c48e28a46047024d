#include "kernels/ops.h"

namespace gyrator {
namespace {

template <class T, class Convert>
void Store(const PagedKv& kv, std::byte* keys, std::byte* values, int32_t slot,
           std::span<const float> key, std::span<const float> value, Convert convert) {
  T* k = reinterpret_cast<T*>(keys);
  T* v = reinterpret_cast<T*>(values);
  for (int32_t d = 0; d < kv.head_dim; ++d) {
    k[KeyIndex(kv.dtype, d, slot)] = convert(key[d]);
    v[ValueIndex(kv.dtype, d, slot, kv.head_dim)] = convert(value[d]);
  }
}

}  // namespace

void StoreKv(const PagedKv& kv, int32_t layer, uint32_t block, int32_t slot, int32_t kv_head,
             const float* key, const float* value) {
  std::byte* keys = kv.keys(layer, block, kv_head);
  std::byte* values = kv.values(layer, block, kv_head);
  const std::span<const float> k(key, static_cast<size_t>(kv.head_dim));
  const std::span<const float> v(value, static_cast<size_t>(kv.head_dim));
  switch (kv.dtype) {
    case DType::kBF16:
      return Store<uint16_t>(kv, keys, values, slot, k, v, F32ToBF16);
    case DType::kF16:
      return Store<uint16_t>(kv, keys, values, slot, k, v, F32ToF16);
    default:
      return Store<float>(kv, keys, values, slot, k, v, [](float x) { return x; });
  }
}

}  // namespace gyrator

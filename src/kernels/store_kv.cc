#include "kernels/ops.h"

namespace gyrator {
namespace {

struct Head {
  std::byte* keys;
  std::byte* values;
  int32_t slot;
};

template <class T, class Convert>
void Store(const PagedKv& kv, const Head& head, std::span<const float> key,
           std::span<const float> value, Convert convert) {
  T* k = reinterpret_cast<T*>(head.keys);
  T* v = reinterpret_cast<T*>(head.values);
  for (int32_t d = 0; d < kv.head_dim; ++d) {
    k[KeyIndex(kv.dtype, d, head.slot)] = convert(key[static_cast<size_t>(d)]);
    v[ValueIndex(kv.dtype, d, head.slot, kv.head_dim)] = convert(value[static_cast<size_t>(d)]);
  }
}

bool StoreInt8(const Ops& ops, const PagedKv& kv, const Head& head, const float* key,
               const float* value) {
  auto* k = reinterpret_cast<int8_t*>(head.keys);
  auto* v = reinterpret_cast<int8_t*>(head.values);
  bool finite = true;
  for (int32_t g = 0; g < kv.num_groups(); ++g) {
    const int32_t first = g * kKvGroup;
    int8_t k_q[kKvGroup] = {}, v_q[kKvGroup] = {};
    float k_scale = 0.0f, v_scale = 0.0f;
    finite &= ops.quantize(key + first, k_q, &k_scale, kKvGroup);
    finite &= ops.quantize(value + first, v_q, &v_scale, kKvGroup);
    kv.scales(head.keys)[ScaleIndex(g, head.slot)] = k_scale;
    kv.scales(head.values)[ScaleIndex(g, head.slot)] = v_scale;
    for (int32_t i = 0; i < kKvGroup; ++i) {
      k[KeyIndex(kv.dtype, first + i, head.slot)] = k_q[i];
      v[ValueIndex(kv.dtype, first + i, head.slot, kv.head_dim)] = v_q[i];
    }
  }
  return finite;
}

}  // namespace

bool StoreKv(const Ops& ops, const PagedKv& kv, const KvPlace& place, const float* key,
             const float* value) {
  const Head head = {kv.keys(place.layer, place.block, place.kv_head),
                     kv.values(place.layer, place.block, place.kv_head), place.slot};
  const std::span<const float> k(key, static_cast<size_t>(kv.head_dim));
  const std::span<const float> v(value, static_cast<size_t>(kv.head_dim));
  switch (kv.dtype) {
    case DType::kI8:
      return StoreInt8(ops, kv, head, key, value);
    case DType::kBF16:
      Store<uint16_t>(kv, head, k, v, F32ToBF16);
      break;
    case DType::kF16:
      Store<uint16_t>(kv, head, k, v, F32ToF16);
      break;
    default:
      Store<float>(kv, head, k, v, [](float x) { return x; });
      break;
  }
  return true;
}

}  // namespace gyrator

#include "kernels/ops.h"

namespace gyrator {
namespace {

// One position of the K or V of a head: element d lies at index(d).
template <class T, class Index, class Convert>
void Store(std::byte* head, std::span<const float> x, Index index, Convert convert) {
  T* elements = reinterpret_cast<T*>(head);
  for (size_t d = 0; d < x.size(); ++d) elements[index(static_cast<int32_t>(d))] = convert(x[d]);
}

struct Int8Head {
  int8_t* elements;
  float* scales;
  int32_t slot;
};

template <class Index>
bool StoreInt8(const Ops& ops, const Int8Head& head, std::span<const float> x, Index index) {
  bool finite = true;
  for (size_t first = 0; first < x.size(); first += kKvGroup) {
    int8_t q[kKvGroup] = {};
    float scale = 0.0f;
    finite &= ops.quantize(x.data() + first, {q, &scale}, kKvGroup);
    head.scales[ScaleIndex(static_cast<int32_t>(first / kKvGroup), head.slot)] = scale;
    for (int32_t i = 0; i < kKvGroup; ++i) {
      head.elements[index(static_cast<int32_t>(first) + i)] = q[i];
    }
  }
  return finite;
}

struct Head {
  std::byte* bytes;
  int32_t slot;
};

template <class Index>
bool StoreHead(const Ops& ops, const PagedKv& kv, const Head& head, const float* from,
               Index index) {
  const std::span<const float> x(from, static_cast<size_t>(kv.head_dim));
  switch (kv.dtype) {
    case DType::kI8:
      return StoreInt8(
          ops, {reinterpret_cast<int8_t*>(head.bytes), kv.scales(head.bytes), head.slot}, x, index);
    case DType::kBF16:
      Store<uint16_t>(head.bytes, x, index, F32ToBF16);
      break;
    case DType::kF16:
      Store<uint16_t>(head.bytes, x, index, F32ToF16);
      break;
    default:
      Store<float>(head.bytes, x, index, [](float value) { return value; });
      break;
  }
  return true;
}

}  // namespace

bool StoreKey(const Ops& ops, const PagedKv& kv, const KvPlace& place, const float* key) {
  const Head head = {kv.keys(place.layer, place.block, place.kv_head), place.slot};
  return StoreHead(ops, kv, head, key,
                   [&](int32_t d) { return KeyIndex(kv.dtype, d, place.slot); });
}

bool StoreKv(const Ops& ops, const PagedKv& kv, const KvPlace& place, const float* key,
             const float* value) {
  const Head head = {kv.values(place.layer, place.block, place.kv_head), place.slot};
  const bool finite = StoreHead(ops, kv, head, value, [&](int32_t d) {
    return ValueIndex(kv.dtype, d, place.slot, kv.head_dim);
  });
  return StoreKey(ops, kv, place, key) && finite;
}

}  // namespace gyrator

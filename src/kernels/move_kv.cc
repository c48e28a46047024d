#include "kernels/move_kv.h"

#include "kernels/kv_element.h"

namespace gyrator {
namespace {

// One position of the K or V of a head.
struct Row {
  std::byte* head;
  int32_t slot;
};

template <class T, class Index>
void CopyElements(const PagedKv& kv, const Row& from, const Row& to, Index index) {
  const T* source = reinterpret_cast<const T*>(from.head);
  T* target = reinterpret_cast<T*>(to.head);
  for (int32_t d = 0; d < kv.head_dim; ++d) target[index(d, to.slot)] = source[index(d, from.slot)];
}

// Elements and scales, bit for bit.
template <class Index>
void CopyRow(const PagedKv& kv, const Row& from, const Row& to, Index index) {
  if (kv.element_bytes() == 4) CopyElements<uint32_t>(kv, from, to, index);
  if (kv.element_bytes() == 2) CopyElements<uint16_t>(kv, from, to, index);
  if (kv.element_bytes() == 1) CopyElements<uint8_t>(kv, from, to, index);
  for (int32_t group = 0; group < kv.num_groups(); ++group) {
    kv.scales(to.head)[ScaleIndex(group, to.slot)] =
        kv.scales(from.head)[ScaleIndex(group, from.slot)];
  }
}

void LoadKey(const PagedKv& kv, const Row& row, float* key) {
  const bool scaled = kv.dtype == DType::kI8;
  for (int32_t d = 0; d < kv.head_dim; ++d) {
    const float scale = scaled ? kv.scales(row.head)[ScaleIndex(d / kKvGroup, row.slot)] : 0.0f;
    key[d] = KvElement(kv.dtype, row.head, KeyIndex(kv.dtype, d, row.slot), scale);
  }
}

}  // namespace

bool MoveKv(const Ops& ops, const PagedKv& kv, const KvPlace& from, const KvPlace& to,
            const KeyTurn* turn) {
  CopyRow(kv, {kv.values(from.layer, from.block, from.kv_head), from.slot},
          {kv.values(to.layer, to.block, to.kv_head), to.slot},
          [&](int32_t d, int32_t slot) { return ValueIndex(kv.dtype, d, slot, kv.head_dim); });
  const Row key = {kv.keys(from.layer, from.block, from.kv_head), from.slot};
  if (turn == nullptr) {
    CopyRow(kv, key, {kv.keys(to.layer, to.block, to.kv_head), to.slot},
            [&](int32_t d, int32_t slot) { return KeyIndex(kv.dtype, d, slot); });
    return true;
  }
  LoadKey(kv, key, turn->scratch);
  ops.rope(turn->scratch, 1, kv.head_dim, turn->rotary_dim, turn->cos, turn->sin, turn->style);
  return StoreKey(ops, kv, to, turn->scratch);
}

}  // namespace gyrator

// Moves what is stored of a position to another one: V as it is, K turned by rope.
//
// A key at position p is R(p) k, where R is the rotation by the angles p * inv_freq; so
// R(to - from) makes of it the key at another position, up to the rounding of what is stored. What
// multiplies cos and sin of a model (the attention factor) is in the key already.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

// The rotation of one key.
struct KeyTurn {
  const float* cos = nullptr;  // [rotary_dim / 2] RopeTable(to - from, inv_freq, 1)
  const float* sin = nullptr;
  int32_t rotary_dim = 0;
  RopeStyle style = RopeStyle::kHalf;
  float* scratch = nullptr;  // [head_dim], the caller's
};

// Copies K and V of `from` to `to`: V and its scales bit for bit, the key as attention reads it,
// rotated and stored as StoreKv does. Null `turn`: the key is copied bit for bit as well. Equal
// bits on every instruction set. False when the dtype is int8 and the rotated key is not finite (K
// at `to` is then unspecified). The places may be one, or in one block. REQUIRES FloatEnvironment.
[[nodiscard]] bool MoveKv(const Ops& ops, const PagedKv& kv, const KvPlace& from, const KvPlace& to,
                          const KeyTurn* turn);

}  // namespace gyrator

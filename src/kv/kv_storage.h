// The bytes of a pool of KV blocks in host memory.
//
// Owned by the executor, so that another executor (a GPU) can own its own memory while pool, tables
// and snapshots stay the same code. The memory is zero until it is written and takes no pages until
// then (a dirty block stays dirty: readers skip masked positions). Engine thread only.
#pragma once

#include <memory>
#include <vector>

#include "gyrator/status.h"
#include "kernels/ops.h"
#include "kernels/paged_kv.h"
#include "kv/block_bytes.h"

namespace gyrator {

// How the model turns keys, so that a key can be turned on to another position.
struct KeyRotation {
  std::vector<float> inv_freq = {};  // [rotary_dim / 2]
  int32_t rotary_dim = 0;            // 0: nothing of a key depends on its position
  RopeStyle style = RopeStyle::kHalf;
  const Ops* ops = nullptr;
};

class KvStorage final : public BlockBytes {
 public:
  // `layout.base` is ignored. kInvalidArgument on a dtype that KV cannot have, an odd head_dim or a
  // rotation that does not fit it; kUnsupported on int8 with a head_dim that is no multiple of its
  // groups of 32; kExhausted when the address space or memory is refused, naming the bytes.
  // REQUIRES: rotation.ops is not null.
  static Result<std::unique_ptr<KvStorage>> Create(const PagedKv& layout, KeyRotation rotation);
  ~KvStorage() override;
  KvStorage(const KvStorage&) = delete;
  KvStorage& operator=(const KvStorage&) = delete;

  const PagedKv& view() const { return view_; }
  void Copy(uint32_t from, uint32_t to) override;
  [[nodiscard]] bool Move(std::span<const PositionMove> moves) override;
  std::vector<std::span<std::byte>> Pieces(uint32_t block) override;

 private:
  KvStorage(const PagedKv& view, KeyRotation rotation);
  // Moves of one delta.
  bool MoveAlike(std::span<const PositionMove> moves);

  PagedKv view_;
  KeyRotation rotation_;
  std::vector<float> cos_, sin_;  // [rotary_dim / 2]
  std::vector<float> scratch_;    // [head_dim]
};

}  // namespace gyrator

// The bytes of a pool of KV blocks in host memory.
//
// Owned by the executor, so that another executor (a GPU) can own its own memory while pool, tables
// and snapshots stay the same code. The memory is zero until it is written and takes no pages until
// then (a dirty block stays dirty: readers skip masked positions). Engine thread only.
#pragma once

#include <memory>

#include "gyrator/status.h"
#include "kernels/paged_kv.h"
#include "kv/block_bytes.h"

namespace gyrator {

class KvStorage final : public BlockBytes {
 public:
  // `layout.base` is ignored. kInvalidArgument on a dtype that KV cannot have or an odd head_dim;
  // kUnsupported on int8 with a head_dim that is no multiple of its groups of 32; kExhausted when
  // the address space or memory is refused, naming the bytes.
  static Result<std::unique_ptr<KvStorage>> Create(const PagedKv& layout);
  ~KvStorage() override;
  KvStorage(const KvStorage&) = delete;
  KvStorage& operator=(const KvStorage&) = delete;

  const PagedKv& view() const { return view_; }
  void Copy(uint32_t from, uint32_t to) override;
  std::vector<std::span<std::byte>> Pieces(uint32_t block) override;

 private:
  explicit KvStorage(const PagedKv& view) : view_(view) {}
  PagedKv view_;
};

}  // namespace gyrator

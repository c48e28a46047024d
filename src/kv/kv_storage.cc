#include "kv/kv_storage.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace gyrator {

Result<std::unique_ptr<KvStorage>> KvStorage::Create(const PagedKv& layout) {
  if (layout.dtype != DType::kF32 && layout.dtype != DType::kBF16 && layout.dtype != DType::kF16 &&
      layout.dtype != DType::kI8) {
    return Status::InvalidArgument("kv dtype: f32, bf16, f16 or int8 expected, found " +
                                   std::string(DTypeName(layout.dtype)));
  }
  if (layout.head_dim <= 0 || layout.head_dim % 2 != 0 || layout.num_layers <= 0 ||
      layout.num_kv_heads <= 0 || layout.num_blocks <= 0) {
    return Status::InvalidArgument("kv geometry: positive sizes and an even head_dim expected");
  }
  if (layout.dtype == DType::kI8 && layout.head_dim % kKvGroup != 0) {
    return Status::Unsupported("kv dtype int8: a head_dim that is a multiple of " +
                               std::to_string(kKvGroup) + " expected, the model's is " +
                               std::to_string(layout.head_dim) + "; use bf16");
  }
  PagedKv view = layout;
  const auto bytes = static_cast<size_t>(layout.total_bytes());
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return Status::Exhausted("kv pool of " + std::to_string(bytes) +
                             " bytes: " + std::strerror(errno));
  }
  view.base = static_cast<std::byte*>(base);
  return std::unique_ptr<KvStorage>(new KvStorage(view));
}

void KvStorage::Copy(uint32_t from, uint32_t to) {
  for (int32_t layer = 0; layer < view_.num_layers; ++layer) {
    std::memcpy(view_.keys(layer, to, 0), view_.keys(layer, from, 0),
                static_cast<size_t>(view_.block_bytes()));
  }
}

std::vector<std::span<std::byte>> KvStorage::Pieces(uint32_t block) {
  std::vector<std::span<std::byte>> pieces;
  for (int32_t layer = 0; layer < view_.num_layers; ++layer) {
    pieces.emplace_back(view_.keys(layer, block, 0), static_cast<size_t>(view_.block_bytes()));
  }
  return pieces;
}

KvStorage::~KvStorage() { ::munmap(view_.base, static_cast<size_t>(view_.total_bytes())); }

}  // namespace gyrator

#include "kv/kv_storage.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "kernels/move_kv.h"

namespace gyrator {

Result<std::unique_ptr<KvStorage>> KvStorage::Create(const PagedKv& layout, KeyRotation rotation) {
  GYRATOR_CHECK(rotation.ops != nullptr);
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
  if (rotation.rotary_dim < 0 || rotation.rotary_dim > layout.head_dim ||
      std::ssize(rotation.inv_freq) * 2 != rotation.rotary_dim) {
    return Status::InvalidArgument("kv rotation: two dimensions a frequency, " +
                                   std::to_string(layout.head_dim) + " at most expected, found " +
                                   std::to_string(rotation.rotary_dim) + " of " +
                                   std::to_string(rotation.inv_freq.size()) + " frequencies");
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
  return std::unique_ptr<KvStorage>(new KvStorage(view, std::move(rotation)));
}

KvStorage::KvStorage(const PagedKv& view, KeyRotation rotation)
    : view_(view),
      rotation_(std::move(rotation)),
      cos_(rotation_.inv_freq.size()),
      sin_(rotation_.inv_freq.size()),
      scratch_(static_cast<size_t>(view.head_dim)) {}

void KvStorage::Copy(uint32_t from, uint32_t to) {
  for (int32_t layer = 0; layer < view_.num_layers; ++layer) {
    std::memcpy(view_.keys(layer, to, 0), view_.keys(layer, from, 0),
                static_cast<size_t>(view_.block_bytes()));
  }
}

bool KvStorage::Move(std::span<const PositionMove> moves) {
  const FloatEnvironment environment;
  bool finite = true;
  while (!moves.empty()) {
    const auto other = std::find_if(moves.begin(), moves.end(), [&](const PositionMove& move) {
      return move.delta != moves.front().delta;
    });
    const auto alike = static_cast<size_t>(other - moves.begin());
    finite &= MoveAlike(moves.first(alike));
    moves = moves.subspan(alike);
  }
  return finite;
}

bool KvStorage::MoveAlike(std::span<const PositionMove> moves) {
  const int32_t delta = moves.front().delta;
  RopeTable(delta, rotation_.inv_freq, 1.0f, cos_.data(), sin_.data());
  const KeyTurn turn = {.cos = cos_.data(),
                        .sin = sin_.data(),
                        .rotary_dim = rotation_.rotary_dim,
                        .style = rotation_.style,
                        .scratch = scratch_.data()};
  bool finite = true;
  for (int32_t layer = 0; layer < view_.num_layers; ++layer) {
    for (int32_t head = 0; head < view_.num_kv_heads; ++head) {
      for (const PositionMove& move : moves) {  // neighbours share cache lines
        finite &= MoveKv(*rotation_.ops, view_, {layer, move.from_block, move.from_slot, head},
                         {layer, move.to_block, move.to_slot, head}, delta == 0 ? nullptr : &turn);
      }
    }
  }
  return finite;
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

#include "model/forward_arena.h"

#include <algorithm>
#include <string>

namespace gyrator {

void ForwardArenaDeleter::operator()(ForwardArena* arena) const { delete arena; }

Result<ForwardArenaPtr> CreateForwardArena(const ModelConfig& config, ComputeType compute,
                                           int32_t rows_max, int num_threads) {
  if (rows_max < 1) {
    return Status::InvalidArgument("forward arena: expected at least 1 row, found " +
                                   std::to_string(rows_max));
  }
  ForwardArenaPtr arena(new ForwardArena);
  const int64_t query = int64_t{config.num_heads} * config.head_dim;
  const int64_t key = int64_t{config.num_kv_heads} * config.head_dim;
  const int64_t wide = std::max(int64_t{config.hidden}, query);

  uint64_t total = 0;
  const auto take = [&total](uint64_t bytes) {
    const uint64_t offset = total;
    total += (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
    return offset;
  };
  struct {
    float* ForwardArena::* member;
    int64_t width;
    uint64_t offset;
  } floats[] = {
      {&ForwardArena::hidden, config.hidden, 0},
      {&ForwardArena::normed, config.hidden, 0},
      {&ForwardArena::q, query, 0},
      {&ForwardArena::k, key, 0},
      {&ForwardArena::v, key, 0},
      {&ForwardArena::attended, query, 0},
      {&ForwardArena::cos, config.rope.rotary_dim / 2, 0},
      {&ForwardArena::sin, config.rope.rotary_dim / 2, 0},
      {&ForwardArena::parts, int64_t{num_threads} * 2 * kPartColumns, 0},
  };
  for (auto& buffer : floats) {
    buffer.offset =
        take(static_cast<uint64_t>(buffer.width) * sizeof(float) * static_cast<uint64_t>(rows_max));
  }
  const uint64_t operand = take(Operand::Bytes(compute, rows_max, wide));
  const uint64_t ffn_operand = take(Operand::Bytes(compute, rows_max, config.ffn));
  const int64_t positions = std::min<int64_t>(config.context_max, kSplitPositionsMax);
  arena->spans_max = (positions + kAttentionSpan - 1) / kAttentionSpan;
  const uint64_t partials = take(static_cast<uint64_t>(arena->spans_max * config.num_heads *
                                                       AttentionPartialFloats(config.head_dim)) *
                                 sizeof(float));
  arena->scratch_bytes = Operand::ScratchBytes(compute, std::max(wide, int64_t{config.ffn}));
  const uint64_t scratch = take(arena->scratch_bytes * static_cast<uint64_t>(num_threads));

  GYRATOR_ASSIGN_OR_RETURN(arena->memory, AllocateAligned(total, "forward arena"));
  std::byte* base = arena->memory.get();
  for (const auto& buffer : floats) {
    (*arena).*buffer.member = reinterpret_cast<float*>(base + buffer.offset);
  }
  arena->operand = Operand(compute, base + operand, rows_max, wide);
  arena->ffn_operand = Operand(compute, base + ffn_operand, rows_max, config.ffn);
  arena->partials = reinterpret_cast<float*>(base + partials);
  arena->scratch = base + scratch;
  arena->rows_max = rows_max;
  arena->places.reserve(static_cast<size_t>(rows_max));
  arena->chunks.reserve(static_cast<size_t>(rows_max));
  arena->spans.reserve(static_cast<size_t>(arena->spans_max));
  return arena;
}

}  // namespace gyrator

// The buffers of a forward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned_buffer.h"
#include "gyrator/types.h"
#include "kernels/paged_kv.h"
#include "model/forward.h"
#include "model/operand.h"

namespace gyrator {

// Columns of a product whose results a thread uses while they are in its cache.
inline constexpr int64_t kPartColumns = 256;

// Positions up to which attention can be split by spans: partial results take memory.
inline constexpr int64_t kSplitPositionsMax = int64_t{1} << 20;

// Where one row of the batch stands.
struct RowPlace {
  TokenId token;
  Position position;
  uint32_t block;
  bool stored;
};

// Some consecutive rows of one sequence.
struct RowChunk {
  int32_t row;  // in the batch
  int32_t num_rows;
  Position first_position;
  BlockTableView table;
  int32_t first_span = 0;  // in `spans`, if attention is split
  int32_t num_spans = 0;
};

// One span of positions that a chunk sees: attention is split over threads by those where chunks
// and heads are too few.
struct ChunkSpan {
  int32_t chunk;
  Position begin;
};

class ForwardArena {
 public:
  int32_t rows_max = 0;
  std::vector<RowPlace> places;  // of the rows of the pass
  std::vector<RowChunk> chunks;  // the rows again, cut for attention
  std::vector<ChunkSpan> spans;  // of all chunks in turn; empty: attention is not split
  int64_t spans_max = 0;
  AlignedBuffer memory;  // all of the below

  // [rows_max, n], row-major.
  float* hidden = nullptr;    // the residual stream
  float* normed = nullptr;    // [hidden]
  float* q = nullptr;         // [heads * head_dim]
  float* k = nullptr;         // [kv_heads * head_dim]
  float* v = nullptr;         // [kv_heads * head_dim]
  float* attended = nullptr;  // [heads * head_dim]
  float* cos = nullptr;       // [rotary_dim / 2]
  float* sin = nullptr;       // [rotary_dim / 2]
  float* parts = nullptr;     // [threads, 2, rows_max, kPartColumns]
  // Of the spans of a chunk: [kv_heads][spans][heads of a kv head][AttentionPartialFloats]; those
  // of all chunks behind each other, at most spans_max spans of one row each.
  float* partials = nullptr;
  std::byte* scratch = nullptr;  // [threads, scratch_bytes], touched if weights are not packed
  uint64_t scratch_bytes = 0;    // Operand::ScratchBytes
  Operand operand;               // of all products but one
  Operand ffn_operand;           // of the ffn's second

  // One of a thread's two parts of products: [rows_max, kPartColumns].
  float* Part(int thread, int which) {
    return parts + (int64_t{thread} * 2 + which) * rows_max * kPartColumns;
  }
  std::byte* Scratch(int thread) { return scratch + static_cast<uint64_t>(thread) * scratch_bytes; }
};

}  // namespace gyrator

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
};

class ForwardArena {
 public:
  int32_t rows_max = 0;
  std::vector<RowPlace> places;  // of the rows of the pass
  std::vector<RowChunk> chunks;  // the rows again, cut for attention
  AlignedBuffer memory;          // all of the below

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
  Operand operand;            // of all products but one
  Operand ffn_operand;        // of the ffn's second

  // One of a thread's two parts of products: [rows_max, kPartColumns].
  float* Part(int thread, int which) {
    return parts + (int64_t{thread} * 2 + which) * rows_max * kPartColumns;
  }
};

}  // namespace gyrator

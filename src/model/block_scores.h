// How much attention some rows of a sequence pay to each block of its positions: what a policy that
// evicts the least looked at goes by (kv/eviction.h, kScore).
//
// For each layer, query head and row: softmax over the positions that the row sees of
// dot(q, k) * scale, with q as attention takes it in f32, and K as it is stored and read
// (kernels/paged_kv.h); that mass summed per block. A score is the mean over layers, heads and
// rows: all scores together are 1, up to rounding.
//
// Bits do not depend on the number of threads, on batch mates or on the instruction set that
// multiplies (of equal q and K): sums run in a fixed order, without fma and without libm. They are
// not attention's own bits.
//
// Does not: decide anything, look at V, allocate during a pass.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/paged_kv.h"
#include "model/attention_observer.h"

namespace gyrator {

inline constexpr int32_t kScoredRowsMax = 32;

// Consecutive rows of one sequence that are rows of a pass, too.
struct ScoredRows {
  BlockTableView table;         // covers all positions up to the last row's
  Position first_position = 0;  // of the first of them
  int32_t num_rows = 0;         // 1 to kScoredRowsMax
  int64_t first_row_of_pass = 0;
};

// Of one pass. One thread at a time; uses `threads` during OnQueries.
class BlockScores final : public AttentionObserver {
 public:
  // What `kv` and the table of `rows` point at, and `threads`, outlive the pass.
  BlockScores(const PagedKv& kv, int32_t num_heads, const ScoredRows& rows, ThreadPool* threads);

  void OnQueries(int32_t layer, const float* q, int64_t num_rows) override;

  // One a block, the last of which may be begun only. All may be NaN when a query or a key was
  // not finite. REQUIRES a pass.
  std::vector<float> Scores() const;

 private:
  // Of one thread, for one kv head at a time: its rows' queries, row by row.
  struct Scratch {
    std::vector<float> keys;     // [head_dim, 16] of a block
    std::vector<float> peaks;    // [blocks, queries] largest product of a block
    std::vector<float> weights;  // [blocks, queries] sum of exp(product - peak)
    std::vector<float> peak;     // [queries] over all blocks
    std::vector<double> total;   // [queries]
  };

  // The queries of one layer and kv head.
  struct Head {
    int32_t layer = 0;
    int32_t kv_head = 0;
    const float* q = nullptr;  // of the pass's first scored row
  };

  const float* Query(const Head& head, int32_t query) const;
  // Peaks and weights of a block.
  void ScoreBlock(const Head& head, int32_t block, Scratch* scratch) const;
  // Mass of each block to mass [blocks].
  void ScoreHead(const Head& head, Scratch* scratch, double* mass) const;

  const PagedKv kv_;
  const int32_t num_heads_;
  const ScoredRows rows_;
  ThreadPool& threads_;
  const int32_t group_;        // query heads of a kv head
  const int32_t num_queries_;  // of a kv head
  const int32_t num_blocks_;
  const float scale_;
  std::vector<Scratch> scratch_;  // [threads]
  std::vector<double> masses_;    // [kv heads, blocks], of a layer
  std::vector<double> sums_;      // [blocks], of all layers so far
  int32_t num_layers_ = 0;        // so far
};

}  // namespace gyrator

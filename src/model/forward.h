// One forward pass over rows of any number of sequences.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "gyrator/status.h"
#include "gyrator/types.h"
#include "kernels/ops.h"
#include "kernels/paged_kv.h"
#include "model/attention_observer.h"
#include "model/config.h"
#include "model/memory_hook.h"
#include "model/weights.h"

namespace gyrator {

// Consecutive rows of one sequence: tokens[i] stands at first_position + i. All earlier positions
// are in the sequence's blocks; the blocks of these rows are allocated and in the table.
struct SequenceRows {
  std::span<const TokenId> tokens;  // REQUIRES: each < vocab
  Position first_position = 0;
  BlockTableView table;
  int32_t num_logits = 0;  // logits of the last `num_logits` rows are wanted
  // K and V of these rows are there already and stay as they are: attention reads those.
  bool stored = false;
};

// The buffers of a pass of at most rows_max rows on `num_threads` threads; allocated once, reused
// by every pass.
class ForwardArena;
struct ForwardArenaDeleter {
  void operator()(ForwardArena* arena) const;
};
using ForwardArenaPtr = std::unique_ptr<ForwardArena, ForwardArenaDeleter>;
Result<ForwardArenaPtr> CreateForwardArena(const ModelConfig& config, ComputeType compute,
                                           int32_t rows_max, int num_threads);

struct ForwardContext {
  const ModelConfig* config = nullptr;
  const Weights* weights = nullptr;
  const Ops* ops = nullptr;
  ThreadPool* threads = nullptr;
  ForwardArena* arena = nullptr;
  MemoryHook* memory = nullptr;           // null: none
  AttentionObserver* observer = nullptr;  // null: none
};

// Stores K and V of every row, writes the wanted logits, in order of the batch, to
// logits [sum of num_logits, vocab]. The bits of a row depend on its sequence's tokens alone: not
// on the other sequences, the cut into rows, or the number of threads. kCorruption
// "not_finite" when a key, a value or a wanted logit is not finite (as it is stored, in every
// type), or an activation under int8; kMismatch "model_changed" when weights that are not packed
// can no longer be read; logits and the KV of these rows are then undefined.
Status Forward(const ForwardContext& context, const PagedKv& kv,
               std::span<const SequenceRows> batch, float* logits);

}  // namespace gyrator

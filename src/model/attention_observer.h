// The one way to see what attention is asked.
#pragma once

#include <cstdint>

namespace gyrator {

class AttentionObserver {
 public:
  virtual ~AttentionObserver() = default;
  // Called once a layer, in order, on the thread of the pass, when K and V of the pass's rows are
  // stored. `q` [num_rows, num_heads, head_dim] are the queries as attention takes them, after
  // rope, in the order of the batch; valid during the call. Changes nothing of the pass.
  virtual void OnQueries(int32_t layer, const float* q, int64_t num_rows) = 0;
};

}  // namespace gyrator

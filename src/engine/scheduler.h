// Decides which rows the next forward pass holds. Only plans: changes nothing.
//
// Decoding requests (one row) come first, so that a long prompt beside them cannot starve them;
// what is left of the row budget is shared by the prompts, in chunks: all get the same, and what a
// short one does not need goes to the longer ones. When there are more requests than rows, those
// go first that have waited longest. The bits of a row do not depend on the plan.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gyrator {

// What one request needs next.
struct PendingRows {
  int32_t rows = 0;      // tokens not in the cache yet; 0: nothing to do
  int32_t rows_max = 0;  // most of them in one pass
  uint64_t served = 0;   // the last pass that had rows of it
};

struct PlannedRows {
  int32_t request = 0;  // index into the pending list
  int32_t rows = 0;     // > 0
};

// At most `budget` rows; empty when nothing is pending. REQUIRES budget > 0.
std::vector<PlannedRows> PlanRows(std::span<const PendingRows> pending, int32_t budget);

}  // namespace gyrator

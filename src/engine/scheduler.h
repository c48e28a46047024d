// Decides which rows the next forward pass holds. Only plans: changes nothing.
//
// Decoding requests (one row) come first, so that a long prompt beside them cannot starve them;
// what is left of the row budget is shared by the prompts, in chunks: all get the same, and what a
// short one does not need goes to the longer ones. When there are more requests than rows, those
// go first that have waited longest. The bits of a row do not depend on the plan.
//
// A pass cannot be interrupted, so the rows of prompts in one are as many as fit a time: PassSize
// learns how many from the passes before.
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

struct RowBudget {
  int32_t rows = 0;         // of a pass
  int32_t prompt_rows = 0;  // of them for prompts
};

// At most as many rows as the budget has; empty when nothing is pending. REQUIRES both budgets > 0.
std::vector<PlannedRows> PlanRows(std::span<const PendingRows> pending, RowBudget budget);

// How many rows of prompts a pass may have, so that it ends within half a second, or has one row.
// Knows times only from what it is told: no clock of its own.
class PassSize {
 public:
  // `operations_per_row`: of the model, for a first guess that errs towards few rows.
  PassSize(int32_t rows_max, double operations_per_row);

  int32_t rows() const { return rows_; }  // 1 to rows_max
  // A pass of `all_rows`, `prompt_rows` of them of prompts, took `ns` nanoseconds.
  void Took(int32_t prompt_rows, int32_t all_rows, uint64_t ns);

 private:
  int32_t rows_max_;
  int32_t rows_;
};

}  // namespace gyrator

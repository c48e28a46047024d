#include "engine/scheduler.h"

#include <algorithm>

namespace gyrator {

std::vector<PlannedRows> PlanRows(std::span<const PendingRows> pending, int32_t budget) {
  std::vector<PlannedRows> plan;
  for (const bool decoding : {true, false}) {
    for (size_t i = 0; i < pending.size() && budget > 0; ++i) {
      if (pending[i].rows == 0 || (pending[i].rows == 1) != decoding) continue;
      const int32_t rows = std::min({pending[i].rows, pending[i].rows_max, budget});
      plan.push_back({static_cast<int32_t>(i), rows});
      budget -= rows;
    }
  }
  return plan;
}

}  // namespace gyrator

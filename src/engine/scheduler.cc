#include "engine/scheduler.h"

#include <algorithm>

namespace gyrator {

namespace {

constexpr int32_t kChunkMin = 32;  // a matrix read for fewer rows of a prompt is not worth it

// Indices of the pending decodes, or of the prompts; those that have waited longest first.
std::vector<int32_t> Queue(std::span<const PendingRows> pending, bool decoding) {
  std::vector<int32_t> queue;
  for (size_t i = 0; i < pending.size(); ++i) {
    if (pending[i].rows > 0 && (pending[i].rows == 1) == decoding) {
      queue.push_back(static_cast<int32_t>(i));
    }
  }
  std::stable_sort(queue.begin(), queue.end(), [&](int32_t a, int32_t b) {
    return pending[static_cast<size_t>(a)].served < pending[static_cast<size_t>(b)].served;
  });
  return queue;
}

}  // namespace

std::vector<PlannedRows> PlanRows(std::span<const PendingRows> pending, int32_t budget) {
  std::vector<PlannedRows> plan;
  for (int32_t index : Queue(pending, true)) {
    if (budget == 0) return plan;
    plan.push_back({index, 1});
    --budget;
  }
  std::vector<int32_t> prompts = Queue(pending, false);
  const size_t served = std::max(1, budget / kChunkMin);
  if (prompts.size() > served) prompts.resize(served);
  const auto wants = [&](int32_t index) {
    const PendingRows& rows = pending[static_cast<size_t>(index)];
    return std::min(rows.rows, rows.rows_max);
  };
  std::stable_sort(prompts.begin(), prompts.end(),
                   [&](int32_t a, int32_t b) { return wants(a) < wants(b); });
  for (size_t i = 0; i < prompts.size() && budget > 0; ++i) {
    const auto sharers = static_cast<int32_t>(prompts.size() - i);
    const int32_t rows = std::min(wants(prompts[i]), (budget + sharers - 1) / sharers);
    plan.push_back({prompts[i], rows});
    budget -= rows;
  }
  return plan;
}

}  // namespace gyrator

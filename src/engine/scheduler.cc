#include "engine/scheduler.h"

#include <algorithm>

namespace gyrator {

namespace {

constexpr int32_t kChunkMin = 32;  // a matrix read for fewer rows of a prompt is not worth it

constexpr double kPassNs = 0.4e9;        // what a pass is to take: less than the half second it may
constexpr double kOperationsPerNs = 20;  // of a slow machine
constexpr double kGrowth = 8;            // a pass has at most so many times the rows of the last

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

std::vector<PlannedRows> PlanRows(std::span<const PendingRows> pending, RowBudget limits) {
  std::vector<PlannedRows> plan;
  int32_t budget = limits.rows;
  for (int32_t index : Queue(pending, true)) {
    if (budget == 0) return plan;
    plan.push_back({index, 1});
    --budget;
  }
  budget = std::min(budget, limits.prompt_rows);
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

PassSize::PassSize(int32_t rows_max, double operations_per_row)
    : rows_max_(rows_max),
      rows_(static_cast<int32_t>(std::clamp(kPassNs * kOperationsPerNs / operations_per_row, 1.0,
                                            static_cast<double>(rows_max)))) {}

void PassSize::Took(int32_t prompt_rows, int32_t all_rows, uint64_t ns) {
  if (prompt_rows == 0) return;
  const double factor = kPassNs / static_cast<double>(std::max<uint64_t>(ns, 1));
  // A short pass of few rows says little of what more would take: reading the weights is its time.
  if (factor >= 1 && prompt_rows < rows_) return;
  const double rows = (factor < 1 ? all_rows : prompt_rows) * std::min(factor, kGrowth);
  rows_ = static_cast<int32_t>(std::clamp(rows, 1.0, static_cast<double>(rows_max_)));
}

}  // namespace gyrator

#include "schedule.h"

#include <algorithm>
#include <array>

#include "random.h"

namespace gyrator::train {
namespace {

struct Stage {
  int64_t tokens_end;  // of the stage, counted from the start
  int32_t batch_tokens;
  std::array<double, 6> shares;  // of steps with rows of 64, 128, 256, 512, 1024, 2048 tokens
};
constexpr Stage kStages[] = {
    {400'000, 2048, {0.40, 0.60, 0.00, 0.00, 0.00, 0.00}},
    {800'000, 4096, {0.10, 0.30, 0.40, 0.20, 0.00, 0.00}},
    {1'300'000, 4096, {0.05, 0.15, 0.30, 0.30, 0.20, 0.00}},
    {3'000'000, 4096, {0.00, 0.10, 0.25, 0.30, 0.20, 0.15}},
    {INT64_MAX, 8192, {0.00, 0.05, 0.20, 0.30, 0.25, 0.20}},
};

}  // namespace

double LearningRate(const Schedule& schedule, int64_t step) {
  const double warm =
      std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps));
  const int64_t left = schedule.steps - step;
  const double decay =
      schedule.decay_steps <= 0
          ? 1.0
          : std::clamp(static_cast<double>(left) / static_cast<double>(schedule.decay_steps), 0.001,
                       1.0);
  return schedule.peak * warm * decay;
}

BatchShape DrawBatchShape(uint64_t seed, int64_t step, int64_t tokens_seen) {
  const Stage& stage = *std::find_if(std::begin(kStages), std::end(kStages),
                                     [&](const Stage& s) { return tokens_seen < s.tokens_end; });
  double roll = Random(MixSeed(seed ^ 0x6c656e67u, static_cast<uint64_t>(step))).Uniform();
  int32_t row_tokens = 64;
  for (double share : stage.shares) {
    if (roll < share) break;
    roll -= share;
    row_tokens *= 2;
  }
  row_tokens = std::min(row_tokens, 2048);  // shares may add up to a hair below one
  return {stage.batch_tokens / row_tokens, row_tokens};
}

}  // namespace gyrator::train

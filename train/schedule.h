// When which learning rate and which rows: pure functions of the step, so that a run can be
// resumed, extended or brought to its end at any checkpoint.
#pragma once

#include <cstdint>

namespace gyrator::train {

// Warm-up, constant, linear decay to a tenth of a percent (WSD).
struct Schedule {
  double peak = 2e-3;
  int64_t warmup_steps = 200;
  int64_t steps = 3448;        // of the whole run: the shipped model's
  int64_t decay_steps = 1500;  // the last ones
};
double LearningRate(const Schedule& schedule, int64_t step);

struct BatchShape {
  int32_t rows;
  int32_t row_tokens;
};
// Short conversations and small batches first (copying is learned from many steps), then every
// length up to 2,048. A function of seed, step and the tokens seen before it.
BatchShape DrawBatchShape(uint64_t seed, int64_t step, int64_t tokens_seen);

}  // namespace gyrator::train

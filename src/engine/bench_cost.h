// What the measurements of `gyrator bench` share: the work of a token, counted from the shapes.
#pragma once

#include <cstdint>
#include <vector>

#include "gyrator/bench.h"
#include "gyrator/types.h"
#include "kernels/paged_kv.h"
#include "model/weights.h"

namespace gyrator {

double Median(std::vector<double> values);  // REQUIRES: not empty

struct TokenCost {
  double weight_bytes = 0;  // read by a decode step
  double layer_ops = 0;     // multiply-adds x 2 of the layers' matrices
  double head_ops = 0;      // of the head, for a row whose logits are wanted
  double kv_bytes = 0;      // of one position, all layers
};
TokenCost CountCost(const Weights& weights, const PagedKv& kv);

// Random tokens are as good as any: the work does not depend on them.
std::vector<TokenId> RandomTokens(int32_t count, int32_t vocab, uint64_t seed);

// 10^9 operations a second at most, by the instructions that the compute type uses.
double PeakGops(const MachineLimits& limits, ComputeType compute);

}  // namespace gyrator

#include "engine/bench_cost.h"

#include <algorithm>

#include "base/philox.h"

namespace gyrator {

namespace {

double MatrixOps(const Matrix& m) {
  return 2.0 * static_cast<double>(m.rows) * static_cast<double>(m.cols);
}

}  // namespace

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

TokenCost CountCost(const Weights& weights, const PagedKv& kv) {
  TokenCost cost;
  for (const LayerWeights& layer : weights.layers) {
    for (const Matrix* m :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      cost.layer_ops += MatrixOps(*m);
    }
  }
  cost.weight_bytes = static_cast<double>(OperandBytes(weights));
  cost.head_ops = MatrixOps(weights.head);
  cost.kv_bytes = static_cast<double>(kv.block_bytes()) * kv.num_layers / kBlockPositions;
  return cost;
}

std::vector<TokenId> RandomTokens(int32_t count, int32_t vocab, uint64_t seed) {
  PhiloxStream random(seed, 0);
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (TokenId& token : tokens) token = static_cast<TokenId>(random.NextUniform() * vocab);
  return tokens;
}

double PeakGops(const MachineLimits& limits, ComputeType compute) {
  switch (compute) {
    case ComputeType::kF32:
      return limits.f32_gflop_s;
    case ComputeType::kBF16:
      return limits.bf16_gflop_s;
    case ComputeType::kInt8:
      return limits.int8_gop_s;
  }
  return 0;
}

}  // namespace gyrator

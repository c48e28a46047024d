// The oracle: one decoder, scalar, no cache, no blocks, no threads.
//
// What Forward must give, to the bit, in f32, bf16 and int8: matrix products, norms and activations
// are those of `ops`; attention is written here a second time, over plain arrays, from the words of
// kernels/ops.h. Slow; for tests and for newcomers.
#pragma once

#include <span>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"
#include "kernels/ops.h"
#include "model/config.h"
#include "model/weights.h"

namespace gyrator {

struct ReferenceArgs {
  const ModelConfig* config = nullptr;
  const Weights* weights = nullptr;
  ComputeType compute = ComputeType::kF32;
  DType kv_dtype = DType::kF32;  // to which keys and values are rounded
  const Ops* ops = nullptr;      // usually FindOps("ref")
};

// Logits of every position, [tokens.size(), vocab]. kInternal when an activation is not finite
// under int8, or a key or value under int8 KV. REQUIRES each token < vocab.
Result<std::vector<float>> ReferenceLogits(const ReferenceArgs& args,
                                           std::span<const TokenId> tokens);

}  // namespace gyrator

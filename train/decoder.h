// Llama's decoder in libtorch: the maths of Hugging Face's LlamaForCausalLM, for training.
//
// RMS norm, rotate-half RoPE, grouped-query attention, SwiGLU, tied embeddings. Weights carry
// Hugging Face's names and shapes ([out, in]). Deterministic on a CPU with a fixed number of
// threads. Used by one thread at a time (torch has its own inside).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "decoder_config.h"

namespace gyrator::train {

struct DecoderLayer {
  at::Tensor attn_norm, q, k, v, o, ffn_norm, gate, up, down;
};

class Decoder {
 public:
  // Random weights: normal, deviation 0.02, projections into the residual stream scaled by
  // 1 / sqrt(2 layers); norms one; and copying heads (copy_init.h) in the first two layers, which
  // otherwise take most of a short training to emerge. A function of `seed`.
  Decoder(const DecoderConfig& config, uint64_t seed);

  // ids [batch, tokens] int64, tokens <= context_max -> logits [batch, tokens, vocab]. Position 0
  // is the first column; causal.
  at::Tensor Forward(const at::Tensor& ids) const;

  const DecoderConfig& config() const { return config_; }
  // Name and weight, in the order of the file; leaves that require gradients.
  std::vector<std::pair<std::string, at::Tensor>>& parameters() { return parameters_; }
  const std::vector<std::pair<std::string, at::Tensor>>& parameters() const { return parameters_; }

 private:
  at::Tensor Add(const std::string& name, at::IntArrayRef shape, double deviation);
  at::Tensor Attend(const DecoderLayer& layer, const at::Tensor& x, const at::Tensor& cos,
                    const at::Tensor& sin) const;

  DecoderConfig config_;
  std::vector<std::pair<std::string, at::Tensor>> parameters_;
  at::Tensor embedding_, final_norm_;
  std::vector<DecoderLayer> layers_;
  at::Tensor cos_, sin_;  // [context_max, head_dim]
};

}  // namespace gyrator::train

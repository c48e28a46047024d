#include "decoder.h"

#include <torch/types.h>

#include <cmath>

#include "base/check.h"
#include "copy_init.h"

namespace gyrator::train {
namespace {

// x [batch, heads, tokens, head_dim]: the first half of a head rotates with the second.
at::Tensor Rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}

}  // namespace

Decoder::Decoder(const DecoderConfig& config, uint64_t seed) : config_(config) {
  GYRATOR_CHECK(config.num_heads % config.num_kv_heads == 0);
  torch::manual_seed(seed);
  const double narrow = 0.02, into_residual = 0.02 / std::sqrt(2.0 * config.num_layers);
  const int64_t h = config.hidden, ffn = config.ffn;
  const int64_t q = int64_t{config.num_heads} * config.head_dim,
                kv = int64_t{config.num_kv_heads} * config.head_dim;
  embedding_ = Add("model.embed_tokens.weight", {config.vocab, h}, narrow);
  for (int32_t i = 0; i < config.num_layers; ++i) {
    const std::string at = "model.layers." + std::to_string(i) + ".";
    DecoderLayer& layer = layers_.emplace_back();
    layer.attn_norm = Add(at + "input_layernorm.weight", {h}, 0);
    layer.q = Add(at + "self_attn.q_proj.weight", {q, h}, narrow);
    layer.k = Add(at + "self_attn.k_proj.weight", {kv, h}, narrow);
    layer.v = Add(at + "self_attn.v_proj.weight", {kv, h}, narrow);
    layer.o = Add(at + "self_attn.o_proj.weight", {h, q}, into_residual);
    layer.ffn_norm = Add(at + "post_attention_layernorm.weight", {h}, 0);
    layer.gate = Add(at + "mlp.gate_proj.weight", {ffn, h}, narrow);
    layer.up = Add(at + "mlp.up_proj.weight", {ffn, h}, narrow);
    layer.down = Add(at + "mlp.down_proj.weight", {h, ffn}, into_residual);
  }
  final_norm_ = Add("model.norm.weight", {h}, 0);
  if (config.num_layers >= 2) InitCopyHeads(config_, embedding_, layers_[0], layers_[1]);
  const at::Tensor dims = torch::arange(0, config.head_dim, 2, torch::kFloat32) / config.head_dim;
  const at::Tensor angles = torch::outer(torch::arange(config.context_max, torch::kFloat32),
                                         torch::pow(config.rope_theta, -dims));
  cos_ = torch::cat({angles, angles}, -1).cos();
  sin_ = torch::cat({angles, angles}, -1).sin();
}

at::Tensor Decoder::Add(const std::string& name, at::IntArrayRef shape, double deviation) {
  at::Tensor weight = deviation > 0 ? torch::randn(shape) * deviation : torch::ones(shape);
  weight.requires_grad_(true);
  parameters_.emplace_back(name, weight);
  return weight;
}

at::Tensor Decoder::Attend(const DecoderLayer& layer, const at::Tensor& x, const at::Tensor& cos,
                           const at::Tensor& sin) const {
  const int64_t batch = x.size(0), tokens = x.size(1),
                group = config_.num_heads / config_.num_kv_heads;
  auto heads = [&](const at::Tensor& weight) {
    return at::linear(x, weight).view({batch, tokens, -1, config_.head_dim}).transpose(1, 2);
  };
  const at::Tensor q = Rotate(heads(layer.q), cos, sin);
  const at::Tensor k = Rotate(heads(layer.k), cos, sin).repeat_interleave(group, 1);
  const at::Tensor v = heads(layer.v).repeat_interleave(group, 1);
  const at::Tensor out = at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/true);
  return at::linear(out.transpose(1, 2).reshape({batch, tokens, -1}), layer.o);
}

at::Tensor Decoder::Forward(const at::Tensor& ids) const {
  const int64_t tokens = ids.size(1), h = config_.hidden;
  GYRATOR_CHECK(tokens <= config_.context_max);
  const at::Tensor cos = cos_.narrow(0, 0, tokens), sin = sin_.narrow(0, 0, tokens);
  auto norm = [&](const at::Tensor& x, const at::Tensor& weight) {
    return at::rms_norm(x, {h}, weight, config_.norm_eps);
  };
  at::Tensor x = at::embedding(embedding_, ids);
  for (const DecoderLayer& layer : layers_) {
    x = x + Attend(layer, norm(x, layer.attn_norm), cos, sin);
    const at::Tensor y = norm(x, layer.ffn_norm);
    x = x + at::linear(at::silu(at::linear(y, layer.gate)) * at::linear(y, layer.up), layer.down);
  }
  return at::linear(norm(x, final_norm_), embedding_);
}

}  // namespace gyrator::train

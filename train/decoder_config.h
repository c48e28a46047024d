// The shape of the decoder that is trained: Llama's, with a tied head. No torch here.
#pragma once

#include <cstdint>

namespace gyrator::train {

struct DecoderConfig {
  int32_t num_layers = 4;
  int32_t hidden = 320;
  int32_t num_heads = 10;
  int32_t num_kv_heads = 5;
  int32_t head_dim = 32;
  int32_t ffn = 832;
  int32_t vocab = 1024;
  int32_t context_max = 2048;
  float rope_theta = 100000.0f;
  float norm_eps = 1e-5f;
};

// All weights, the tied embedding counted once.
inline int64_t NumParameters(const DecoderConfig& c) {
  const int64_t h = c.hidden, q = int64_t{c.num_heads} * c.head_dim,
                kv = int64_t{c.num_kv_heads} * c.head_dim;
  return c.num_layers * (2 * h * q + 2 * h * kv + 3 * h * c.ffn + 2 * h) + h * c.vocab + h;
}

}  // namespace gyrator::train

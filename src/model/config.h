// What a model is, as data: the only description of an architecture that the rest of the code
// reads.
//
// A table per family (config_llama.cc, config_mistral.cc, config_qwen.cc) says how config.json or
// GGUF metadata becomes this and names the tensors (family.h); nothing else asks which family a
// model is of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/keyvalue.h"
#include "gyrator/status.h"
#include "kernels/ops.h"

namespace gyrator {

struct RopeConfig {
  float theta = 10000.0f;
  RopeStyle style = RopeStyle::kHalf;
  int32_t rotary_dim = 0;         // dimensions of a head that rotate
  std::vector<float> inv_freq;    // [rotary_dim / 2], scaling (linear, llama3, yarn) applied
  float attention_factor = 1.0f;  // multiplies cos and sin
  std::string scaling = "none";   // for people: "none", "linear factor=8", "llama3 ..."
};

struct ModelConfig {
  std::string family;  // "llama", "mistral", "qwen2", "qwen3": for people and for identity
  std::string name;    // from the file, as PlainName gives it; may be empty
  int32_t num_layers = 0;
  int32_t hidden = 0;
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  int32_t ffn = 0;
  int32_t vocab = 0;
  int32_t context_max = 0;  // the longest context that the model was made for
  // A position sees at most the last `sliding_window` positions in some layer; 0: all of them. The
  // arithmetic here has no window: whoever runs more positions than this must refuse.
  int32_t sliding_window = 0;
  float norm_eps = 1e-5f;
  bool tied_head = false;
  bool qkv_bias = false;
  bool output_bias = false;  // attention output projection
  bool ffn_bias = false;
  bool qk_norm = false;  // RMS norm of each query and key head before rope
  RopeConfig rope;
};

// Refuses what the arithmetic cannot mean: zero or absurd sizes, heads that do not divide, odd head
// sizes. kCorruption names field, expected and found.
Status CheckConfig(const ModelConfig& config);

// Everything in `config` that changes a number that is computed, one named key a field. Equal keys
// and equal weights: K and V mean the same. Floats are the shortest text that reads back to the
// same bits; the inverse frequencies of rope are told by their digest, SHA-256 of little-endian
// f32. The name and the longest context are left out: they change nothing that is computed.
KeyValues IdentityOf(const ModelConfig& config);

// A name out of a file, fit for one line of a text file or a terminal: each run of control
// characters (C0, DEL, C1, line and paragraph separators) is one space, ill-formed UTF-8 is U+FFFD,
// what is beyond 200 bytes is cut off between two characters, and spaces at either end are left
// out.
std::string PlainName(std::string_view name);

}  // namespace gyrator

// config.json of a Hugging Face folder: the fields that describe a decoder, typed and bounded.
//
// Reads what transformers 4 and 5 write (rope_theta and rope_scaling, or rope_parameters). Does not
// know families or defaults that depend on one: absent and null fields stay empty. Every number is
// checked for type and range here; whether it makes sense is CheckConfig's question.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"

namespace gyrator {

// rope_parameters, or rope_scaling with rope_theta beside it.
struct HfRope {
  std::string type = "default";
  double theta = 10000.0;
  std::optional<double> factor;
  bool factor_given = false;  // `factor` stands there, be it null
  std::optional<double> low_freq_factor;
  std::optional<double> high_freq_factor;
  std::optional<double> attention_factor;
  std::optional<double> beta_fast;
  std::optional<double> beta_slow;
  std::optional<double> mscale;
  std::optional<double> mscale_all_dim;
  std::optional<double> partial_rotary_factor;              // here or at the top level
  std::optional<int32_t> original_max_position_embeddings;  // the top level's wins
  std::optional<bool> truncate;
  std::string several;  // "rope_parameters: full_attention" when some layers have their own; empty
};

struct HfConfig {
  std::string model_type;    // never empty
  std::string architecture;  // the first of "architectures"; may be empty
  std::string hidden_act;    // may be empty
  std::optional<int32_t> num_hidden_layers;
  std::optional<int32_t> hidden_size;
  std::optional<int32_t> num_attention_heads;
  std::optional<int32_t> num_key_value_heads;
  std::optional<int32_t> head_dim;
  std::optional<int32_t> intermediate_size;
  std::optional<int32_t> vocab_size;
  std::optional<int32_t> max_position_embeddings;
  std::optional<int32_t> max_window_layers;
  std::optional<int32_t> sliding_window;
  bool sliding_window_given = false;  // `sliding_window` stands there, be it null
  std::optional<bool> use_sliding_window;
  std::vector<std::string> layer_types;
  std::optional<double> rms_norm_eps;
  std::optional<bool> tie_word_embeddings;
  std::optional<bool> attention_bias;
  std::optional<bool> mlp_bias;
  bool quantized = false;  // has a quantization_config: weights are packed in a way of their own
  HfRope rope;
};

// kCorruption names the field, what was expected and what was found; kUnsupported when the rope
// parameters differ by layer.
Result<HfConfig> ParseHfConfig(std::string_view json);

}  // namespace gyrator

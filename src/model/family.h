// What tells the families apart, as data. Internal to model/: everything else reads ModelConfig.
//
// A family is one `Family` value: how its config is read and which tensors it has. A new family is
// a new config_<family>.cc and a line in family.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/gguf.h"
#include "formats/hf_config.h"
#include "gyrator/status.h"
#include "model/config.h"
#include "model/weights.h"

namespace gyrator {

// A size that a tensor's shape is made of; kOne: the dimension does not exist.
enum class Dim : uint8_t { kOne, kHidden, kFfn, kVocab, kQuery, kKey, kHeadDim };

// One tensor of a layer, or of the model: its two names, its shape, when it exists, where it goes.
// "{}" in a name is the layer's index. Exactly one of the four targets is set.
struct TensorSpec {
  std::string_view hf_name;
  std::string_view gguf_name;
  Dim rows = Dim::kOne;
  Dim cols = Dim::kOne;                  // kOne: a vector [rows]
  bool ModelConfig::* when = nullptr;    // exists only if this is true; null: always
  bool ModelConfig::* unless = nullptr;  // exists only if this is false
  Matrix LayerWeights::* layer_matrix = nullptr;
  const float* LayerWeights::* layer_vector = nullptr;
  Matrix Weights::* model_matrix = nullptr;
  const float* Weights::* model_vector = nullptr;

  bool per_layer() const { return layer_matrix != nullptr || layer_vector != nullptr; }
  bool is_vector() const { return cols == Dim::kOne; }
  bool exists(const ModelConfig& config) const {
    return (when == nullptr || config.*when) && (unless == nullptr || !(config.*unless));
  }
};

enum class BiasRule : uint8_t { kNever, kAlways, kConfig };  // kConfig: "attention_bias"
enum class WindowRule : uint8_t {
  kNever,      // sliding_window means nothing to the family
  kAllLayers,  // every layer slides
  kByLayer,    // use_sliding_window, max_window_layers, layer_types
};

struct Family {
  std::string_view name = {};              // model_type in config.json
  std::string_view hf_class = {};          // the one entry of "architectures" that is this decoder
  std::string_view gguf_arch = {};         // general.architecture; empty: GGUF calls it otherwise
  RopeStyle gguf_rope = RopeStyle::kHalf;  // Hugging Face weights are always kHalf

  // What config.json may leave out (transformers' defaults).
  int32_t default_kv_heads = 0;  // 0: as many as heads
  int32_t default_head_dim = 0;  // 0: hidden / heads
  int32_t default_window = 0;
  int32_t default_max_window_layers = 0;

  BiasRule qkv_bias = BiasRule::kNever;
  BiasRule output_bias = BiasRule::kNever;
  bool reads_mlp_bias = false;
  bool qk_norm = false;
  WindowRule window = WindowRule::kNever;
  std::span<const TensorSpec> (*tensors)() = nullptr;
};

extern const Family kLlama;
extern const Family kMistral;
extern const Family kQwen2;
extern const Family kQwen3;

// Pre-norm decoder with gated feed-forward: what all of the families above are.
std::span<const TensorSpec> DecoderTensors();

std::span<const Family* const> AllFamilies();

// "model.layers.{}.mlp.up_proj.weight", 3 -> "model.layers.3.mlp.up_proj.weight".
std::string TensorName(const TensorSpec& spec, SourceFormat format, int32_t layer);
Shape TensorShape(const TensorSpec& spec, const ModelConfig& config);

// kUnsupported: unknown model_type, other head than a language model's, activation, scaling or
// packed weights; kCorruption: missing or senseless fields.
Result<ModelConfig> ConfigFromHf(const HfConfig& source);
// The same from GGUF metadata. Biases and a tied head are told by the tensors that are there.
Result<ModelConfig> ConfigFromGguf(const GgufFile& file);

// CheckConfig without the rope.
Status CheckSizes(const ModelConfig& config);

// The family that made `config`. REQUIRES a config of one of the two functions above.
const Family& FamilyOf(const ModelConfig& config);

}  // namespace gyrator

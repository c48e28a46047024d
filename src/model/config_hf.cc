// ModelConfig out of config.json.
#include <algorithm>

#include "model/family.h"
#include "model/rope.h"

namespace gyrator {

namespace {

Result<const Family*> FindFamily(const HfConfig& source) {
  std::string known;
  for (const Family* family : AllFamilies()) {
    if (family->name == source.model_type) {
      if (!source.architecture.empty() && source.architecture != family->hf_class) {
        return Status::Unsupported("config.json: architectures: expected " +
                                   std::string(family->hf_class) + ", found " +
                                   source.architecture.substr(0, 60));
      }
      return family;
    }
    known += (known.empty() ? "" : ", ") + std::string(family->name);
  }
  return Status::Unsupported(
      "config.json: model_type: expected an architecture that is supported, one of " + known +
      ", found " + source.model_type.substr(0, 60));
}

Status Required(std::string_view field, const std::optional<int32_t>& value, int32_t* out) {
  if (!value) {
    return Status::Corruption("config.json: " + std::string(field) +
                              ": expected an integer, found nothing");
  }
  *out = *value;
  return {};
}

bool Applies(BiasRule rule, const std::optional<bool>& given) {
  return rule == BiasRule::kAlways || (rule == BiasRule::kConfig && given.value_or(false));
}

// Whether any layer slides.
Result<bool> SomeLayerSlides(const HfConfig& source, const Family& family) {
  switch (family.window) {
    case WindowRule::kNever:
      return false;
    case WindowRule::kAllLayers:
      return true;
    case WindowRule::kByLayer:
      break;
  }
  if (!source.use_sliding_window.value_or(false)) return false;
  if (source.layer_types.empty()) {
    return *source.num_hidden_layers >
           source.max_window_layers.value_or(family.default_max_window_layers);
  }
  if (source.layer_types.size() != static_cast<size_t>(*source.num_hidden_layers)) {
    return Status::Corruption("config.json: layer_types: expected " +
                              std::to_string(*source.num_hidden_layers) + " entries, found " +
                              std::to_string(source.layer_types.size()));
  }
  for (const std::string& type : source.layer_types) {
    if (type != "full_attention" && type != "sliding_attention") {
      return Status::Unsupported(
          "config.json: layer_types: expected full_attention or sliding_attention, found " +
          type.substr(0, 60));
    }
  }
  return std::ranges::find(source.layer_types, "sliding_attention") != source.layer_types.end();
}

Status ReadSizes(const HfConfig& source, const Family& family, ModelConfig* config) {
  GYRATOR_RETURN_IF_ERROR(
      Required("num_hidden_layers", source.num_hidden_layers, &config->num_layers));
  GYRATOR_RETURN_IF_ERROR(Required("hidden_size", source.hidden_size, &config->hidden));
  GYRATOR_RETURN_IF_ERROR(
      Required("num_attention_heads", source.num_attention_heads, &config->num_heads));
  GYRATOR_RETURN_IF_ERROR(Required("intermediate_size", source.intermediate_size, &config->ffn));
  GYRATOR_RETURN_IF_ERROR(Required("vocab_size", source.vocab_size, &config->vocab));
  GYRATOR_RETURN_IF_ERROR(
      Required("max_position_embeddings", source.max_position_embeddings, &config->context_max));
  config->num_kv_heads = source.num_key_value_heads.value_or(
      family.default_kv_heads > 0 ? family.default_kv_heads : config->num_heads);
  if (source.head_dim) {
    config->head_dim = *source.head_dim;
  } else if (family.default_head_dim > 0) {
    config->head_dim = family.default_head_dim;
  } else {
    if (config->num_heads == 0 || config->hidden % config->num_heads != 0) {
      return Status::Corruption("config.json: hidden_size: expected a multiple of " +
                                std::to_string(config->num_heads) + " heads, found " +
                                std::to_string(config->hidden));
    }
    config->head_dim = config->hidden / config->num_heads;
  }
  return {};
}

}  // namespace

Result<ModelConfig> ConfigFromHf(const HfConfig& source) {
  GYRATOR_ASSIGN_OR_RETURN(const Family* family, FindFamily(source));
  if (source.quantized) {
    return Status::Unsupported(
        "config.json: quantization_config: expected plain weights, found packed ones");
  }
  if (!source.hidden_act.empty() && source.hidden_act != "silu" && source.hidden_act != "swish") {
    return Status::Unsupported("config.json: hidden_act: expected silu, found " +
                               source.hidden_act.substr(0, 60));
  }
  if (source.rope.partial_rotary_factor.value_or(1) != 1) {
    return Status::Unsupported("config.json: partial_rotary_factor: expected 1, found another");
  }
  if (!source.rope.several.empty()) {
    return Status::Unsupported("config.json: " + source.rope.several.substr(0, 60) +
                               " has rope parameters of its own; expected one set for all layers");
  }
  ModelConfig config;
  config.family = family->name;
  GYRATOR_RETURN_IF_ERROR(ReadSizes(source, *family, &config));
  config.norm_eps = static_cast<float>(source.rms_norm_eps.value_or(1e-6));
  config.tied_head = source.tie_word_embeddings.value_or(false);
  config.qkv_bias = Applies(family->qkv_bias, source.attention_bias);
  config.output_bias = Applies(family->output_bias, source.attention_bias);
  config.ffn_bias = family->reads_mlp_bias && source.mlp_bias.value_or(false);
  config.qk_norm = family->qk_norm;
  GYRATOR_ASSIGN_OR_RETURN(const bool slides, SomeLayerSlides(source, *family));
  if (slides) {
    config.sliding_window =
        source.sliding_window.value_or(source.sliding_window_given ? 0 : family->default_window);
  }
  GYRATOR_RETURN_IF_ERROR(CheckSizes(config));
  auto rope = MakeRope(source.rope, config.head_dim, config.context_max);
  if (!rope.ok()) return std::move(rope).status().Annotate("config.json");
  config.rope = *std::move(rope);
  GYRATOR_RETURN_IF_ERROR(CheckConfig(config));
  return config;
}

}  // namespace gyrator

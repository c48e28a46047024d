#include "formats/hf_config.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/json.h"

namespace gyrator {

namespace {

constexpr size_t kLayerTypesMax = 4096;

Status WrongType(std::string_view field, std::string_view expected, const Json& found) {
  std::string text = DumpJson(found);
  if (text.size() > 40) text = text.substr(0, 40) + "...";
  return Status::Corruption("config.json: " + std::string(field) + ": expected " +
                            std::string(expected) + ", found " + text);
}

// The value of `field`; null when absent or null.
const Json* Find(const Json& object, std::string_view field) {
  const auto it = object.find(field);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Status Read(const Json& object, std::string_view field, std::optional<int32_t>* out) {
  const Json* value = Find(object, field);
  if (value == nullptr) return {};
  // Unsigned first: a value above int64 would wrap as a signed one.
  if (!value->is_number_integer() ||
      (value->is_number_unsigned() && value->get<uint64_t>() > INT32_MAX) ||
      value->get<int64_t>() < 0) {
    return WrongType(field, "an integer from 0 to 2147483647", *value);
  }
  *out = static_cast<int32_t>(value->get<int64_t>());
  return {};
}

Status Read(const Json& object, std::string_view field, std::optional<double>* out) {
  const Json* value = Find(object, field);
  if (value == nullptr) return {};
  if (!value->is_number() || !std::isfinite(value->get<double>())) {
    return WrongType(field, "a finite number", *value);
  }
  *out = value->get<double>();
  return {};
}

Status Read(const Json& object, std::string_view field, std::optional<bool>* out) {
  const Json* value = Find(object, field);
  if (value == nullptr) return {};
  if (!value->is_boolean()) return WrongType(field, "true or false", *value);
  *out = value->get<bool>();
  return {};
}

Status Read(const Json& object, std::string_view field, std::string* out) {
  const Json* value = Find(object, field);
  if (value == nullptr) return {};
  if (!value->is_string()) return WrongType(field, "a string", *value);
  *out = value->get_ref<const std::string&>();
  return {};
}

Status Read(const Json& object, std::string_view field, std::vector<std::string>* out) {
  const Json* value = Find(object, field);
  if (value == nullptr) return {};
  if (!value->is_array()) return WrongType(field, "a list of strings", *value);
  if (value->size() > kLayerTypesMax) {
    return Status::Corruption("config.json: " + std::string(field) + ": expected at most " +
                              std::to_string(kLayerTypesMax) + " entries, found " +
                              std::to_string(value->size()));
  }
  for (const Json& item : *value) {
    if (!item.is_string()) return WrongType(field, "a list of strings", item);
    out->push_back(item.get_ref<const std::string&>());
  }
  return {};
}

// The object that holds the rope parameters: rope_scaling unless empty, else rope_parameters, as
// transformers chooses. Null when neither is there, or when there is one for each kind of layer,
// which `several` then says.
Result<const Json*> FindRopeObject(const Json& root, std::string* several) {
  for (std::string_view field : {"rope_scaling", "rope_parameters"}) {
    const Json* value = Find(root, field);
    if (value == nullptr) continue;
    if (!value->is_object()) return WrongType(field, "an object", *value);
    if (value->empty()) continue;
    for (const auto& [key, item] : value->items()) {
      if (item.is_object()) {
        *several = std::string(field) + ": " + key;
        return nullptr;
      }
    }
    return value;
  }
  return nullptr;
}

struct RopeField {
  std::string_view name;
  std::optional<double> HfRope::* member;
};
constexpr RopeField kRopeFields[] = {
    {"factor", &HfRope::factor},
    {"low_freq_factor", &HfRope::low_freq_factor},
    {"high_freq_factor", &HfRope::high_freq_factor},
    {"attention_factor", &HfRope::attention_factor},
    {"beta_fast", &HfRope::beta_fast},
    {"beta_slow", &HfRope::beta_slow},
    {"mscale", &HfRope::mscale},
    {"mscale_all_dim", &HfRope::mscale_all_dim},
    {"partial_rotary_factor", &HfRope::partial_rotary_factor},
};

Status ReadRope(const Json& root, HfRope* rope) {
  std::optional<double> theta;
  GYRATOR_RETURN_IF_ERROR(Read(root, "rope_theta", &theta));
  GYRATOR_RETURN_IF_ERROR(Read(root, "partial_rotary_factor", &rope->partial_rotary_factor));
  GYRATOR_ASSIGN_OR_RETURN(const Json* object, FindRopeObject(root, &rope->several));
  if (object != nullptr) {
    GYRATOR_RETURN_IF_ERROR(Read(*object, "type", &rope->type));
    GYRATOR_RETURN_IF_ERROR(Read(*object, "rope_type", &rope->type));
    GYRATOR_RETURN_IF_ERROR(Read(*object, "rope_theta", &theta));
    GYRATOR_RETURN_IF_ERROR(Read(*object, "truncate", &rope->truncate));
    GYRATOR_RETURN_IF_ERROR(
        Read(*object, "original_max_position_embeddings", &rope->original_max_position_embeddings));
    for (const RopeField& field : kRopeFields) {
      GYRATOR_RETURN_IF_ERROR(Read(*object, field.name, &(rope->*field.member)));
    }
    rope->factor_given = object->contains("factor");
  }
  GYRATOR_RETURN_IF_ERROR(
      Read(root, "original_max_position_embeddings", &rope->original_max_position_embeddings));
  if (theta) rope->theta = *theta;
  return {};
}

struct IntField {
  std::string_view name;
  std::optional<int32_t> HfConfig::* member;
};
constexpr IntField kIntFields[] = {
    {"num_hidden_layers", &HfConfig::num_hidden_layers},
    {"hidden_size", &HfConfig::hidden_size},
    {"num_attention_heads", &HfConfig::num_attention_heads},
    {"num_key_value_heads", &HfConfig::num_key_value_heads},
    {"head_dim", &HfConfig::head_dim},
    {"intermediate_size", &HfConfig::intermediate_size},
    {"vocab_size", &HfConfig::vocab_size},
    {"max_position_embeddings", &HfConfig::max_position_embeddings},
    {"max_window_layers", &HfConfig::max_window_layers},
    {"sliding_window", &HfConfig::sliding_window},
};

struct BoolField {
  std::string_view name;
  std::optional<bool> HfConfig::* member;
};
constexpr BoolField kBoolFields[] = {
    {"use_sliding_window", &HfConfig::use_sliding_window},
    {"tie_word_embeddings", &HfConfig::tie_word_embeddings},
    {"attention_bias", &HfConfig::attention_bias},
    {"mlp_bias", &HfConfig::mlp_bias},
};

}  // namespace

Result<HfConfig> ParseHfConfig(std::string_view json) {
  auto parsed = ParseJson(json, 32);
  if (!parsed.ok()) return std::move(parsed).status().Annotate("config.json");
  const Json& root = *parsed;
  if (!root.is_object()) return WrongType("document", "an object", root);

  HfConfig config;
  GYRATOR_RETURN_IF_ERROR(Read(root, "model_type", &config.model_type));
  if (config.model_type.empty()) {
    return Status::Corruption("config.json: model_type: expected a name, found nothing");
  }
  std::vector<std::string> architectures;
  GYRATOR_RETURN_IF_ERROR(Read(root, "architectures", &architectures));
  if (!architectures.empty()) config.architecture = architectures.front();
  GYRATOR_RETURN_IF_ERROR(Read(root, "hidden_act", &config.hidden_act));
  for (const IntField& field : kIntFields) {
    GYRATOR_RETURN_IF_ERROR(Read(root, field.name, &(config.*field.member)));
  }
  for (const BoolField& field : kBoolFields) {
    GYRATOR_RETURN_IF_ERROR(Read(root, field.name, &(config.*field.member)));
  }
  GYRATOR_RETURN_IF_ERROR(Read(root, "rms_norm_eps", &config.rms_norm_eps));
  GYRATOR_RETURN_IF_ERROR(Read(root, "layer_types", &config.layer_types));
  config.sliding_window_given = root.contains("sliding_window");
  config.quantized = Find(root, "quantization_config") != nullptr;
  GYRATOR_RETURN_IF_ERROR(ReadRope(root, &config.rope));
  return config;
}

}  // namespace gyrator

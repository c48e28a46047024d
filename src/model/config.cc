#include "model/config.h"

#include <bit>
#include <cmath>

#include "base/sha256.h"
#include "model/family.h"
#include "model/rope.h"

namespace gyrator {

namespace {

constexpr int32_t kLayersMax = 1024;
constexpr int32_t kHiddenMax = 1 << 17;
constexpr int32_t kHeadsMax = 1024;
constexpr int32_t kHeadDimMax = 1024;
constexpr int32_t kFfnMax = 1 << 20;
constexpr int32_t kVocabMax = 1 << 22;
constexpr int32_t kContextMax = 1 << 28;

Status Expected(std::string_view field, const std::string& expected, const std::string& found) {
  return Status::Corruption("model config: " + std::string(field) + ": expected " + expected +
                            ", found " + found);
}

struct Bound {
  std::string_view field;
  int32_t ModelConfig::* member;
  int32_t max;
};
constexpr Bound kBounds[] = {
    {"layers", &ModelConfig::num_layers, kLayersMax},
    {"hidden size", &ModelConfig::hidden, kHiddenMax},
    {"heads", &ModelConfig::num_heads, kHeadsMax},
    {"kv heads", &ModelConfig::num_kv_heads, kHeadsMax},
    {"head size", &ModelConfig::head_dim, kHeadDimMax},
    {"feed-forward size", &ModelConfig::ffn, kFfnMax},
    {"vocabulary size", &ModelConfig::vocab, kVocabMax},
    {"context length", &ModelConfig::context_max, kContextMax},
};

std::string HexFloat(float value) {
  char text[16];
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int i = 0; i < 8; ++i) text[i] = kDigits[(bits >> (28 - 4 * i)) & 15];
  return std::string(text, 8);
}

}  // namespace

Status CheckSizes(const ModelConfig& config) {
  for (const Bound& bound : kBounds) {
    const int32_t value = config.*bound.member;
    if (value < 1 || value > bound.max) {
      return Expected(bound.field, "1 to " + std::to_string(bound.max), std::to_string(value));
    }
  }
  if (config.num_heads % config.num_kv_heads != 0) {
    return Expected("heads", "a multiple of " + std::to_string(config.num_kv_heads) + " kv heads",
                    std::to_string(config.num_heads));
  }
  if (config.head_dim % 2 != 0) {
    return Expected("head size", "an even number", std::to_string(config.head_dim));
  }
  if (!(config.norm_eps > 0 && config.norm_eps < 1)) {
    return Expected("norm epsilon", "a number between 0 and 1", std::to_string(config.norm_eps));
  }
  return {};
}

Status CheckConfig(const ModelConfig& config) {
  GYRATOR_RETURN_IF_ERROR(CheckSizes(config));
  const RopeConfig& rope = config.rope;
  if (rope.rotary_dim < 2 || rope.rotary_dim > config.head_dim || rope.rotary_dim % 2 != 0 ||
      rope.inv_freq.size() != static_cast<size_t>(rope.rotary_dim / 2)) {
    return Expected("rope dimensions", "an even number up to " + std::to_string(config.head_dim),
                    std::to_string(rope.rotary_dim));
  }
  for (const float frequency : rope.inv_freq) {
    if (!(frequency >= 0 && frequency <= 1e6f)) {
      return Expected("rope frequency", "0 to 1e6", std::to_string(frequency));
    }
  }
  return {};
}

std::string GeometryText(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  const ByteSpan frequencies = std::as_bytes(std::span(rope.inv_freq));
  std::string text;
  const auto line = [&text](std::string_view key, const std::string& value) {
    text += std::string(key) + " " + value + "\n";
  };
  line("layers", std::to_string(config.num_layers));
  line("hidden", std::to_string(config.hidden));
  line("heads", std::to_string(config.num_heads));
  line("kv_heads", std::to_string(config.num_kv_heads));
  line("head_dim", std::to_string(config.head_dim));
  line("ffn", std::to_string(config.ffn));
  line("vocab", std::to_string(config.vocab));
  line("norm_eps", HexFloat(config.norm_eps));
  line("rope_style", rope.style == RopeStyle::kHalf ? "half" : "interleaved");
  line("rope_dim", std::to_string(rope.rotary_dim));
  line("rope_scaling", rope.scaling);
  line("rope_attention_factor", HexFloat(rope.attention_factor));
  line("rope_frequencies", HexText(Sha256Of(frequencies)));
  return text;
}

}  // namespace gyrator

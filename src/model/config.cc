#include "model/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/sha256.h"
#include "base/utf8.h"
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

std::string FloatText(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, end.ptr);
}

bool IsControl(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029;
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

KeyValues IdentityOf(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  KeyValues keys;
  keys.Set("arch", config.family);
  keys.SetInt("n_layers", config.num_layers);
  keys.SetInt("hidden_size", config.hidden);
  keys.SetInt("n_heads", config.num_heads);
  keys.SetInt("n_kv_heads", config.num_kv_heads);
  keys.SetInt("head_dim", config.head_dim);
  keys.SetInt("ffn_size", config.ffn);
  keys.SetInt("vocab_size", config.vocab);
  keys.Set("norm_eps", FloatText(config.norm_eps));
  keys.Set("tied_head", flag(config.tied_head));
  keys.Set("qkv_bias", flag(config.qkv_bias));
  keys.Set("output_bias", flag(config.output_bias));
  keys.Set("ffn_bias", flag(config.ffn_bias));
  keys.Set("qk_norm", flag(config.qk_norm));
  keys.Set("rope.theta", FloatText(rope.theta));
  keys.SetInt("rope.dim", rope.rotary_dim);
  keys.Set("rope.style", rope.style == RopeStyle::kHalf ? "half" : "interleaved");
  keys.Set("rope.scaling", rope.scaling);
  keys.Set("rope.attention_factor", FloatText(rope.attention_factor));
  keys.Set("rope.inv_freq_sha256", HexText(Sha256Of(std::as_bytes(std::span(rope.inv_freq)))));
  keys.SetInt("sliding_window", config.sliding_window);
  return keys;
}

std::string PlainName(std::string_view name) {
  constexpr size_t kBytesMax = 200;
  std::string whole;
  AppendLossy(name, &whole);
  std::string out;
  bool gap = false;  // control characters since the last character
  for (std::string_view rest = whole; !rest.empty();) {
    const Utf8Unit unit = ReadUtf8(rest);
    const std::string_view character = rest.substr(0, unit.size);
    rest.remove_prefix(unit.size);
    if (IsControl(unit.code_point)) {
      gap = true;
      continue;
    }
    const size_t space = gap && !out.empty() ? 1 : 0;
    if (out.size() + space + character.size() > kBytesMax) break;
    out.append(space, ' ').append(character);
    gap = false;
  }
  const size_t first = std::min(out.find_first_not_of(' '), out.size());
  return out.substr(first, out.find_last_not_of(' ') + 1 - first);
}

}  // namespace gyrator

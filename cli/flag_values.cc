#include "cli/flag_values.h"

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "base/json.h"
#include "cli/flags.h"

namespace gyrator::cli {

namespace {

template <class T>
bool ParseNumber(std::string_view text, T* value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

}  // namespace

Status ParseList(const std::string& flag, std::string_view text, std::vector<int32_t>* numbers) {
  numbers->clear();
  while (!text.empty()) {
    const size_t comma = text.find(',');
    int32_t number = 0;
    if (!ParseNumber(text.substr(0, comma), &number) || number < 0) {
      return Status::InvalidArgument(flag + ": numbers like 5,17,3 expected, found '" +
                                     std::string(text.substr(0, comma)) + "'");
    }
    numbers->push_back(number);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) return Status::InvalidArgument(flag + ": nothing after the last comma");
  }
  return {};
}

Status ParseBytes(const std::string& flag, std::string_view text, uint64_t* bytes) {
  const size_t unit = std::string_view("KMG").find(text.empty() ? ' ' : text.back());
  const int shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) + 1);
  uint64_t count = 0;
  if (!ParseNumber(text.substr(0, text.size() - (shift > 0)), &count) || count == 0 ||
      count > std::numeric_limits<uint64_t>::max() >> shift) {
    return Status::InvalidArgument(flag + ": bytes like 512M expected, found '" +
                                   std::string(text) + "'");
  }
  *bytes = count << shift;
  return {};
}

Result<std::pair<TokenId, float>> ParseBias(const std::string& text) {
  const size_t sign = text.find_first_of("+-");
  TokenId id = 0;
  float bias = 0;
  const std::string_view all = text;
  const bool fine = sign != std::string::npos && ParseNumber(all.substr(0, sign), &id) && id >= 0 &&
                    ParseNumber(all.substr(sign + 1), &bias);
  if (!fine) {
    return Status::InvalidArgument(
        "--logit-bias: TOKEN_ID(+/-)BIAS like 15043+1 expected, found '" + text + "'");
  }
  return std::pair<TokenId, float>(id, text[sign] == '-' ? -bias : bias);
}

std::optional<ComputeType> ComputeOf(const std::string& name) {
  for (const ComputeType type : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    if (ComputeTypeName(type) == name) return type;
  }
  return std::nullopt;
}

Status CheckVariables(const std::string& text) {
  if (text.empty()) return {};
  const Result<Json> value = ParseExactJson(text);
  if (value.ok() && value->is_object()) return {};
  return Status::InvalidArgument(
      "--chat-template-kwargs: a JSON object like '{\"enable_thinking\":false}' expected, found " +
      (value.ok() ? value->type_name() : value.status().message()));
}

bool SamplerFlags::any() const {
  return temperature || top_p || min_p || typical_p || repeat_penalty || frequency_penalty ||
         presence_penalty || top_k || repeat_last_n || seed || !logit_bias.empty();
}

SamplerOptions SamplerFlags::Over(SamplerOptions base) const {
  base.temperature = temperature.value_or(base.temperature);
  base.top_k = top_k.value_or(base.top_k);
  base.top_p = top_p.value_or(base.top_p);
  base.min_p = min_p.value_or(base.min_p);
  base.typical_p = typical_p.value_or(base.typical_p);
  base.repeat_penalty = repeat_penalty.value_or(base.repeat_penalty);
  base.frequency_penalty = frequency_penalty.value_or(base.frequency_penalty);
  base.presence_penalty = presence_penalty.value_or(base.presence_penalty);
  base.penalty_last_n = repeat_last_n.value_or(base.penalty_last_n);
  if (seed) base.seed = *seed == -1 ? std::random_device()() : static_cast<uint64_t>(*seed);
  if (!logit_bias.empty()) base.logit_bias = logit_bias;
  return base;
}

WindowOptions WindowFlags::Over(WindowOptions base) const {
  base.overflow = overflow.value_or(base.overflow);
  base.mode = mode.value_or(base.mode);
  base.sinks = keep.value_or(base.sinks);
  return base;
}

}  // namespace gyrator::cli

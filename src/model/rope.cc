#include "model/rope.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/real_math.h"

namespace gyrator {

namespace {

constexpr double kPi = 3.14159265358979323846;

std::string NumberText(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value, std::chars_format::general, 9);
  return std::string(text, end.ptr);
}

// A parameter that must be there and be positive.
Result<double> Required(const HfRope& rope, std::string_view name,
                        const std::optional<double>& value) {
  if (value && *value > 0 && std::isfinite(*value)) return *value;
  return Status::Corruption("rope scaling " + rope.type + ": " + std::string(name) +
                            ": expected a positive number, found " +
                            (value ? NumberText(*value) : "nothing"));
}

// theta ** (2 i / dim) in f32, [dim / 2].
std::vector<float> Powers(double theta, int32_t dim) {
  const double log_theta = RealLog(static_cast<double>(static_cast<float>(theta)));
  std::vector<float> powers(static_cast<size_t>(dim / 2));
  for (size_t i = 0; i < powers.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    powers[i] = static_cast<float>(RealExp(static_cast<double>(exponent) * log_theta));
  }
  return powers;
}

std::vector<float> Inverses(std::vector<float> powers) {
  for (float& power : powers) power = 1.0f / power;
  return powers;
}

Status ScaleLinear(const HfRope& rope, RopeConfig* out) {
  GYRATOR_ASSIGN_OR_RETURN(const double factor, Required(rope, "factor", rope.factor));
  for (float& frequency : out->inv_freq) frequency /= static_cast<float>(factor);
  out->scaling = "linear factor=" + NumberText(factor);
  return {};
}

Status ScaleLlama3(const HfRope& rope, int32_t context_max, RopeConfig* out) {
  GYRATOR_ASSIGN_OR_RETURN(const double factor, Required(rope, "factor", rope.factor));
  GYRATOR_ASSIGN_OR_RETURN(const double low,
                           Required(rope, "low_freq_factor", rope.low_freq_factor));
  GYRATOR_ASSIGN_OR_RETURN(const double high,
                           Required(rope, "high_freq_factor", rope.high_freq_factor));
  const double original = rope.original_max_position_embeddings.value_or(context_max);
  if (original <= 0 || high <= low) {
    return Status::Corruption(
        "rope scaling llama3: expected a positive original_max_position_embeddings and "
        "low_freq_factor < high_freq_factor, found " +
        NumberText(original) + ", " + NumberText(low) + ", " + NumberText(high));
  }
  const auto factor32 = static_cast<float>(factor);
  for (float& frequency : out->inv_freq) {
    // scalar / tensor is reciprocal times scalar in torch.
    const float wavelength = (1.0f / frequency) * static_cast<float>(2 * kPi);
    if (wavelength > static_cast<float>(original / low)) {
      frequency = frequency / factor32;
    } else if (!(wavelength < static_cast<float>(original / high))) {
      const float turns = (1.0f / wavelength) * static_cast<float>(original);
      const float smooth = (turns - static_cast<float>(low)) / static_cast<float>(high - low);
      frequency = (1.0f - smooth) * frequency / factor32 + smooth * frequency;
    }
  }
  out->scaling = "llama3 factor=" + NumberText(factor) + " low=" + NumberText(low) +
                 " high=" + NumberText(high) + " original=" + NumberText(original);
  return {};
}

double YarnAttentionFactor(const HfRope& rope, double factor) {
  const auto scale = [factor](double mscale) {
    return factor <= 1 ? 1.0 : 0.1 * mscale * RealLog(factor) + 1.0;
  };
  if (rope.attention_factor) return *rope.attention_factor;
  const double mscale = rope.mscale.value_or(0);
  const double mscale_all = rope.mscale_all_dim.value_or(0);
  return mscale != 0 && mscale_all != 0 ? scale(mscale) / scale(mscale_all) : scale(1.0);
}

// A parameter whose absence and zero both mean `fallback`.
double OrDefault(const std::optional<double>& value, double fallback) {
  return value && *value != 0 ? *value : fallback;
}

Status ScaleYarn(const HfRope& rope, int32_t context_max, RopeConfig* out) {
  const double original = rope.original_max_position_embeddings.value_or(context_max);
  std::optional<double> given = rope.factor;
  if (!given && rope.factor_given && original > 0) given = context_max / original;
  GYRATOR_ASSIGN_OR_RETURN(const double factor, Required(rope, "factor", given));
  const double beta_fast = OrDefault(rope.beta_fast, 32);
  const double beta_slow = OrDefault(rope.beta_slow, 1);
  const double attention = YarnAttentionFactor(rope, factor);
  if (original <= 0 || beta_slow <= 0 || beta_fast < beta_slow ||
      !(attention > 0 && attention < 1e6)) {
    return Status::Corruption(
        "rope scaling yarn: expected a positive original_max_position_embeddings, 0 < beta_slow <= "
        "beta_fast and a positive attention_factor, found " +
        NumberText(original) + ", " + NumberText(beta_slow) + ", " + NumberText(beta_fast) + ", " +
        NumberText(attention));
  }
  const int32_t dim = out->rotary_dim;
  // The dimension that turns `rotations` times within the original length.
  const auto dimension = [&](double rotations) {
    return dim * RealLog(original / (rotations * 2 * kPi)) / (2 * RealLog(out->theta));
  };
  double low = dimension(beta_fast);
  double high = dimension(beta_slow);
  if (rope.truncate.value_or(true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;

  const std::vector<float> powers = Powers(rope.theta, dim);
  for (size_t i = 0; i < powers.size(); ++i) {
    const float extrapolated = 1.0f / powers[i];
    const float interpolated = 1.0f / (static_cast<float>(factor) * powers[i]);
    const float ramp =
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float keep = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    out->inv_freq[i] = interpolated * (1.0f - keep) + extrapolated * keep;
  }
  out->attention_factor = static_cast<float>(attention);
  out->scaling = "yarn factor=" + NumberText(factor) + " original=" + NumberText(original) +
                 " beta=" + NumberText(beta_fast) + ":" + NumberText(beta_slow) +
                 " attention=" + NumberText(attention);
  return {};
}

}  // namespace

Result<RopeConfig> MakeRope(const HfRope& rope, int32_t rotary_dim, int32_t context_max) {
  if (!(static_cast<float>(rope.theta) > 1 && rope.theta <= 1e30)) {
    return Status::Corruption("rope_theta: expected a number above 1 and at most 1e30, found " +
                              NumberText(rope.theta));
  }
  RopeConfig out;
  out.theta = static_cast<float>(rope.theta);
  out.rotary_dim = rotary_dim;
  out.inv_freq = Inverses(Powers(rope.theta, rotary_dim));
  Status status;
  if (rope.type == "linear") {
    status = ScaleLinear(rope, &out);
  } else if (rope.type == "llama3") {
    status = ScaleLlama3(rope, context_max, &out);
  } else if (rope.type == "yarn") {
    status = ScaleYarn(rope, context_max, &out);
  } else if (rope.type != "default") {
    status = Status::Unsupported("rope scaling: expected default, linear, llama3 or yarn, found " +
                                 rope.type.substr(0, 40));
  }
  if (!status.ok()) return status;
  return out;
}

Status DivideFrequencies(std::span<const float> factors, RopeConfig* rope) {
  if (factors.size() != rope->inv_freq.size()) {
    return Status::Corruption("rope_freqs.weight: expected " +
                              std::to_string(rope->inv_freq.size()) + " factors, found " +
                              std::to_string(factors.size()));
  }
  for (size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0 && std::isfinite(factors[i]))) {
      return Status::Corruption("rope_freqs.weight: expected positive finite factors, found " +
                                NumberText(factors[i]) + " at " + std::to_string(i));
    }
    rope->inv_freq[i] /= factors[i];
  }
  return {};
}

}  // namespace gyrator

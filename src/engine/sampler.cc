#include "engine/sampler.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "base/real_math.h"

namespace gyrator {

namespace {

// As short as it reads back: "0.95", "1e+30", "-1".
template <class T>
std::string Text(T value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

template <class T>
Status CheckRange(const char* field, T value, T low, T high) {
  if (value >= low && value <= high) return {};  // false for NaN
  return Status::InvalidArgument(std::string(field) + ": a number from " + Text(low) + " to " +
                                 Text(high) + " expected, found " + Text(value));
}

}  // namespace

Status CheckSampler(const SamplerOptions& options) {
  constexpr float kMost = 1e6f;
  GYRATOR_RETURN_IF_ERROR(CheckRange("temperature", options.temperature, 0.0f, kMost));
  GYRATOR_RETURN_IF_ERROR(
      CheckRange("top-k", options.top_k, 0, std::numeric_limits<int32_t>::max()));
  GYRATOR_RETURN_IF_ERROR(CheckRange("top-p", options.top_p, 0.0f, 1.0f));
  GYRATOR_RETURN_IF_ERROR(CheckRange("min-p", options.min_p, 0.0f, 1.0f));
  GYRATOR_RETURN_IF_ERROR(CheckRange("typical", options.typical_p, 0.0f, 1.0f));
  GYRATOR_RETURN_IF_ERROR(CheckRange("repeat-penalty", options.repeat_penalty, 1e-6f, kMost));
  GYRATOR_RETURN_IF_ERROR(
      CheckRange("frequency-penalty", options.frequency_penalty, -kMost, kMost));
  GYRATOR_RETURN_IF_ERROR(CheckRange("presence-penalty", options.presence_penalty, -kMost, kMost));
  GYRATOR_RETURN_IF_ERROR(
      CheckRange("repeat-last-n", options.penalty_last_n, -1, std::numeric_limits<int32_t>::max()));
  for (const auto& [id, bias] : options.logit_bias) {
    if (id < 0 || std::isnan(bias)) {
      return Status::InvalidArgument("logit-bias: a token id and a number expected, found " +
                                     std::to_string(id) + ", " + Text(bias));
    }
  }
  return {};
}

Sampler::Sampler(SamplerOptions options, uint64_t draws)
    : options_(std::move(options)), random_(options_.seed, draws) {}

TokenId Sampler::Sample(std::span<const float> logits, std::span<const TokenId> history,
                        std::span<const TokenId> banned) {
  Bias(logits, banned);
  Penalize(history);
  if (options_.temperature <= 0) return Greedy();
  Collect();
  TopK();
  Typical();
  TopP();
  MinP();
  for (Candidate& c : candidates_) c.logit /= options_.temperature;
  return Draw();
}

void Sampler::Bias(std::span<const float> logits, std::span<const TokenId> banned) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  logits_.resize(logits.size());
  std::transform(logits.begin(), logits.end(), logits_.begin(),
                 [](float logit) { return std::isnan(logit) ? kNever : logit; });
  const auto in_range = [&](TokenId id) {
    return id >= 0 && static_cast<size_t>(id) < logits_.size();
  };
  for (const auto& [id, bias] : options_.logit_bias) {
    if (!in_range(id)) continue;
    float& logit = logits_[static_cast<size_t>(id)];
    logit = std::isnan(logit + bias) ? kNever : logit + bias;
  }
  for (TokenId id : banned) {
    if (in_range(id)) logits_[static_cast<size_t>(id)] = kNever;
  }
}

void Sampler::Collect() {
  candidates_.resize(logits_.size());
  for (size_t i = 0; i < logits_.size(); ++i) {
    candidates_[i] = {static_cast<TokenId>(i), logits_[i], 0};
  }
  sorted_ = false;
}

void Sampler::Penalize(std::span<const TokenId> history) {
  const bool none = options_.repeat_penalty == 1 && options_.frequency_penalty == 0 &&
                    options_.presence_penalty == 0;
  if (none || options_.penalty_last_n == 0) return;
  if (options_.penalty_last_n > 0) {
    history = history.last(std::min(history.size(), static_cast<size_t>(options_.penalty_last_n)));
  }
  std::map<TokenId, int> counts;
  for (TokenId id : history) ++counts[id];
  for (const auto& [id, count] : counts) {
    if (id < 0 || static_cast<size_t>(id) >= logits_.size()) continue;
    float& logit = logits_[static_cast<size_t>(id)];
    logit = logit <= 0 ? logit * options_.repeat_penalty : logit / options_.repeat_penalty;
    logit -= static_cast<float>(count) * options_.frequency_penalty + options_.presence_penalty;
  }
}

TokenId Sampler::Greedy() const {
  constexpr size_t kLanes = 16;  // maxima that do not wait for each other
  float best[kLanes];
  std::fill(best, best + kLanes, logits_.front());
  const size_t whole = logits_.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) best[j] = std::max(best[j], logits_[i + j]);
  }
  for (size_t i = whole; i < logits_.size(); ++i) best[0] = std::max(best[0], logits_[i]);
  const auto at = std::find(logits_.begin(), logits_.end(), *std::max_element(best, best + kLanes));
  return static_cast<TokenId>(at - logits_.begin());  // the first of equals: the lowest id
}

bool Sampler::Better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

void Sampler::Sort() {
  if (sorted_) return;
  std::sort(candidates_.begin(), candidates_.end(), Better);
  sorted_ = true;
}

void Sampler::Softmax() {
  Sort();
  double sum = 0;
  for (Candidate& c : candidates_) {
    c.p = RealExp(double{c.logit} - double{candidates_[0].logit});
    sum += c.p;
  }
  for (Candidate& c : candidates_) c.p /= sum;
}

void Sampler::TopK() {
  const auto k = static_cast<size_t>(options_.top_k);
  if (k == 0 || k >= candidates_.size()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k),
                   candidates_.end(), Better);
  candidates_.resize(k);
}

// Keeps the tokens whose surprise is nearest to the entropy, up to a mass of typical_p
// (Meister et al., "Locally Typical Sampling", 2022).
void Sampler::Typical() {
  if (options_.typical_p >= 1) return;
  Softmax();
  double entropy = 0;
  for (const Candidate& c : candidates_) {
    if (c.p > 0) entropy -= c.p * RealLog(c.p);
  }
  const auto distance = [entropy](const Candidate& c) {
    return c.p > 0 ? std::fabs(-RealLog(c.p) - entropy) : std::numeric_limits<double>::infinity();
  };
  std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    const double da = distance(a), db = distance(b);
    return da != db ? da < db : a.id < b.id;
  });
  double mass = 0;
  size_t kept = 0;
  while (kept < candidates_.size()) {
    mass += candidates_[kept++].p;
    if (mass > double{options_.typical_p}) break;
  }
  candidates_.resize(kept);
  sorted_ = false;
}

void Sampler::TopP() {
  if (options_.top_p >= 1) return;
  Softmax();
  double mass = 0;
  size_t kept = 0;
  while (kept < candidates_.size()) {
    mass += candidates_[kept++].p;
    if (mass >= double{options_.top_p}) break;
  }
  candidates_.resize(kept);
}

void Sampler::MinP() {
  if (options_.min_p <= 0) return;
  Softmax();
  const double least = candidates_[0].p * double{options_.min_p};
  const auto end = std::find_if(candidates_.begin() + 1, candidates_.end(),
                                [least](const Candidate& c) { return c.p < least; });
  candidates_.erase(end, candidates_.end());
}

TokenId Sampler::Draw() {
  Softmax();
  const double u = random_.NextUniform();
  double mass = 0;
  for (const Candidate& c : candidates_) {
    mass += c.p;
    if (u < mass) return c.id;
  }
  return candidates_[0].id;  // rounding left u above the whole mass
}

}  // namespace gyrator

#include "engine/session_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <random>
#include <utility>

#include "base/utf8.h"
#include "snapshot/errors.h"

namespace gyrator {

namespace {

constexpr std::string_view kRngName = "philox4x32-10";

std::string IdText(const std::optional<TokenId>& id) { return id ? std::to_string(*id) : "none"; }

// Which ids the template may write and end a reply: they change what is said, not what K and V
// mean.
void SetSpecialTokens(const TextModelImpl& text, KeyValues* keys) {
  keys->Set("bos_token_id", IdText(text.tokenizer().bos()));
  keys->Set("eos_token_id", IdText(text.tokenizer().eos()));
  keys->Set("end_of_generation", fmt::format("{}", fmt::join(text.end_of_generation(), ",")));
}

std::string BiasText(const std::vector<std::pair<TokenId, float>>& bias) {
  std::string text = "[";
  for (const auto& [id, value] : bias) {
    text += fmt::format("{}{}:{}", text.size() > 1 ? "," : "", id, value);
  }
  return text + "]";
}

Status BadKey(std::string_view key, std::string_view value) {
  return StateInconsistent("metadata/session.txt",
                           std::string(key) + ": a number expected, found '" +
                               std::string(value.substr(0, CompletePrefix(value.substr(0, 80)))) +
                               "'");
}

template <class T>
bool ParseNumber(std::string_view text, T* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size();
}

template <class T>
Status ReadNumber(const KeyValues& keys, std::string_view key, T* value) {
  const auto text = keys.Find(key);
  if (!text || ParseNumber(*text, value)) return {};
  return BadKey(key, *text);
}

// "[id:bias,id:bias]"
Status ReadBias(const KeyValues& keys, std::vector<std::pair<TokenId, float>>* bias) {
  const auto found = keys.Find("sampler.logit_bias");
  if (!found) return {};
  std::string_view text = *found;
  if (!text.starts_with('[') || !text.ends_with(']')) return BadKey("sampler.logit_bias", text);
  bias->reserve(static_cast<size_t>(std::ranges::count(text, ',')) + 1);
  text = text.substr(1, text.size() - 2);
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    const size_t colon = item.find(':');
    std::pair<TokenId, float> entry;
    if (colon == std::string_view::npos || !ParseNumber(item.substr(0, colon), &entry.first) ||
        !ParseNumber(item.substr(colon + 1), &entry.second)) {
      return BadKey("sampler.logit_bias", *found);
    }
    bias->push_back(entry);
    text.remove_prefix(std::min(text.size(), item.size() + 1));
  }
  return {};
}

}  // namespace

Result<KeyValues> LiveIdentity(const ModelImpl& model, int32_t capacity) {
  const ModelConfig& config = model.loaded().config;
  GYRATOR_ASSIGN_OR_RETURN(const std::string weights, model.WeightsDigest(false));
  const TextModelImpl* text = model.text_impl();
  KeyValues keys;
  keys.Set("model", config.name.empty() ? config.family : config.name);
  keys.AddMissing(IdentityOf(config));
  keys.Set("quantisation", DTypeName(model.loaded().stored));
  keys.Set("compute", ComputeTypeName(model.loaded().compute));
  keys.Set("numerics", model.numerics());
  keys.SetInt("cache_capacity", capacity);
  keys.Set("weights_sha256", weights);
  keys.Set("tokenizer_sha256", text == nullptr ? "none" : text->tokenizer().digest());
  keys.Set("template_sha256", text == nullptr ? "none" : text->template_digest());
  if (text != nullptr) SetSpecialTokens(*text, &keys);
  return keys;
}

void WriteSampler(const SamplerOptions& options, uint64_t draws, KeyValues* keys) {
  keys->Set("sampler.temperature", fmt::format("{}", options.temperature));
  keys->SetInt("sampler.top_k", options.top_k);
  keys->Set("sampler.top_p", fmt::format("{}", options.top_p));
  keys->Set("sampler.min_p", fmt::format("{}", options.min_p));
  keys->Set("sampler.typical_p", fmt::format("{}", options.typical_p));
  keys->Set("sampler.repeat_penalty", fmt::format("{}", options.repeat_penalty));
  keys->Set("sampler.frequency_penalty", fmt::format("{}", options.frequency_penalty));
  keys->Set("sampler.presence_penalty", fmt::format("{}", options.presence_penalty));
  keys->SetInt("sampler.penalty_last_n", options.penalty_last_n);
  keys->Set("sampler.logit_bias", BiasText(options.logit_bias));
  keys->Set("rng.algo", kRngName);
  keys->Set("rng.seed", std::to_string(options.seed));
  keys->Set("rng.draws", std::to_string(draws));
}

Result<ParsedSampler> ReadSampler(const KeyValues& keys) {
  ParsedSampler parsed;
  SamplerOptions& options = parsed.options;
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.temperature", &options.temperature));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.top_k", &options.top_k));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.top_p", &options.top_p));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.min_p", &options.min_p));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.typical_p", &options.typical_p));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.repeat_penalty", &options.repeat_penalty));
  GYRATOR_RETURN_IF_ERROR(
      ReadNumber(keys, "sampler.frequency_penalty", &options.frequency_penalty));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.presence_penalty", &options.presence_penalty));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "sampler.penalty_last_n", &options.penalty_last_n));
  GYRATOR_RETURN_IF_ERROR(ReadBias(keys, &options.logit_bias));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "rng.seed", &options.seed));
  GYRATOR_RETURN_IF_ERROR(ReadNumber(keys, "rng.draws", &parsed.draws));
  const auto algorithm = keys.Find("rng.algo");
  if (algorithm && *algorithm != kRngName) {
    return Status::Unsupported("metadata/session.txt: rng.algo '" + std::string(*algorithm) +
                               "': this program has " + std::string(kRngName));
  }
  Status status = CheckSampler(options);
  if (!status.ok()) return StateInconsistent("metadata/session.txt", status.message());
  return parsed;
}

std::string DrawsText(std::span<const uint64_t> draws_at) {
  return fmt::format("[{}]", fmt::join(draws_at, ","));
}

Result<std::vector<uint64_t>> ReadDraws(const KeyValues& keys, size_t num_messages) {
  std::vector<uint64_t> draws_at;
  const auto found = keys.Find("rng.draws_at");
  if (!found || *found == "[]") return draws_at;
  std::string_view text = *found;
  if (!text.starts_with('[') || !text.ends_with(']')) return BadKey("rng.draws_at", *found);
  const auto count = static_cast<size_t>(std::ranges::count(text, ',')) + 1;
  if (count > num_messages) {
    return StateInconsistent("metadata/session.txt",
                             "rng.draws_at: at most one number for each of the " +
                                 std::to_string(num_messages) + " messages expected, found " +
                                 std::to_string(count));
  }
  draws_at.reserve(count);
  text = text.substr(1, text.size() - 2);
  while (true) {
    const std::string_view item = text.substr(0, text.find(','));
    if (!ParseNumber(item, &draws_at.emplace_back())) return BadKey("rng.draws_at", *found);
    if (item.size() == text.size()) return draws_at;
    text.remove_prefix(item.size() + 1);
  }
}

std::string TextOfWindow(const Window& window, const WindowOptions& options) {
  WindowText text;
  text.overflow = OverflowName(options.overflow);
  text.mode = EvictModeName(options.mode);
  text.sinks = options.sinks;
  text.headroom = options.headroom;
  for (const Window::Gone& gone : window.gone()) text.evicted.push_back({gone.at, gone.tokens});
  for (const Eviction& eviction : window.log()) {
    EvictionEntry& entry = text.log.emplace_back();
    entry.cp = eviction.cp;
    for (const TokenSpan& span : eviction.spans) entry.spans.emplace_back(span.begin, span.end);
    entry.policy = eviction.is_rewind() ? kRewind : OverflowName(OverflowOf(eviction.policy));
  }
  return FormatWindow(text);
}

Window WindowFromText(const WindowText& text) {
  std::vector<Window::Gone> gone;
  for (const EvictedSpan& span : text.evicted) gone.push_back({span.at, span.tokens});
  std::vector<Eviction> log;
  for (const EvictionEntry& entry : text.log) {
    Eviction& eviction = log.emplace_back();
    eviction.cp = entry.cp;
    for (const auto& [begin, end] : entry.spans) eviction.spans.push_back({begin, end});
    eviction.policy = PolicyOf(OverflowFromName(entry.policy).value_or(Overflow::kMessage));
  }
  return Window(std::move(gone), std::move(log));
}

WindowOptions WindowOptionsFromText(const WindowText& text) {
  return {.overflow = OverflowFromName(text.overflow).value_or(Overflow::kError),
          .mode = EvictModeFromName(text.mode).value_or(EvictMode::kShift),
          .sinks = text.sinks,
          .headroom = text.headroom};
}

std::string_view PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kNew:
      return "new";
    case Phase::kRunning:
      return "running";
    case Phase::kPending:
      return "pending";
  }
  return "unknown";
}

std::string NewSessionId() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

}  // namespace gyrator

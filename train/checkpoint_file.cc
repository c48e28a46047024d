#include "checkpoint_file.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/json.h"

namespace gyrator::train {
namespace {

constexpr const char* kFormat = "gyrator-train checkpoint 1";

// One list for writing and reading.
template <class Config, class Visit>
void ForEachField(Config& c, Visit visit) {
  visit("num_layers", c.num_layers);
  visit("hidden", c.hidden);
  visit("num_heads", c.num_heads);
  visit("num_kv_heads", c.num_kv_heads);
  visit("head_dim", c.head_dim);
  visit("ffn", c.ffn);
  visit("vocab", c.vocab);
  visit("context_max", c.context_max);
  visit("rope_theta", c.rope_theta);
  visit("norm_eps", c.norm_eps);
}

}  // namespace

void DescribeCheckpoint(const DecoderConfig& config, const Progress& progress,
                        SafetensorsWriter& writer) {
  Json json;
  ForEachField(config, [&](const char* key, const auto& field) { json[key] = field; });
  writer.SetMetadata("format", kFormat);
  writer.SetMetadata("config", json.dump());
  writer.SetMetadata("seed", std::to_string(progress.seed));
  writer.SetMetadata("step", std::to_string(progress.step));
  writer.SetMetadata("tokens", std::to_string(progress.tokens));
}

Result<CheckpointFile> OpenCheckpoint(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(SafetensorsFile file, OpenSafetensors(path));
  const auto text = [&](const char* key) {
    const auto at = file.metadata.find(key);
    return at == file.metadata.end() ? std::string() : at->second;
  };
  if (text("format") != kFormat)
    return Status::Corruption(path + ": not a checkpoint of gyrator-train");
  CheckpointFile out;
  std::string missing;
  const auto number = [&](const char* key, auto& field) {
    const std::string digits = text(key);
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), field);
    if (digits.empty() || parsed.ptr != digits.data() + digits.size()) missing = key;
  };
  number("seed", out.progress.seed);
  number("step", out.progress.step);
  number("tokens", out.progress.tokens);
  GYRATOR_ASSIGN_OR_RETURN(const Json json, ParseJson(text("config")));
  ForEachField(out.config, [&](const char* key, auto& field) {
    const auto at = json.find(key);
    if (at == json.end() || !at->is_number()) {
      missing = key;
    } else {
      field = at->template get<std::remove_reference_t<decltype(field)>>();
    }
  });
  if (!missing.empty()) return Status::Corruption(path + ": checkpoint without a valid " + missing);
  out.tensors = std::move(file.tensors);
  return out;
}

}  // namespace gyrator::train

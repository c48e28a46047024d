#include "snapshot/identity.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "snapshot/errors.h"

namespace gyrator {

namespace {

constexpr std::string_view kHardKeys[] = {
    "weights_sha256", "tokenizer_sha256", "arch",     "n_layers",    "n_heads",     "n_kv_heads",
    "head_dim",       "vocab_size",       "kv_dtype", "compute",     "hidden_size", "ffn_size",
    "norm_eps",       "tied_head",        "qkv_bias", "output_bias", "ffn_bias",    "qk_norm",
};
constexpr std::string_view kFrequencies = "rope.inv_freq_sha256";
constexpr std::string_view kHardPrefixes[] = {"rope", "sliding_window"};
constexpr std::string_view kRequiredKeys[] = {
    "model",      "arch",    "n_layers", "n_heads",        "n_kv_heads",       "head_dim",
    "vocab_size", "dtype",   "kv_dtype", "cache_impl",     "cache_capacity",   "cache_position",
    "n_tokens",   "compute", "numerics", "weights_sha256", "tokenizer_sha256", "template_sha256",
};
constexpr std::string_view kSoftKeys[] = {
    "template_sha256", "bos_token_id", "eos_token_id",   "end_of_generation",
    "model",           "cache_impl",   "cache_capacity",
};
// Keys that folders below kIdentityMinor do not have.
constexpr std::string_view kNewKeys[] = {
    "hidden_size",       "ffn_size",     "norm_eps",
    "tied_head",         "qkv_bias",     "output_bias",
    "ffn_bias",          "qk_norm",      "rope.attention_factor",
    kFrequencies,        "bos_token_id", "eos_token_id",
    "end_of_generation",
};

bool IsNew(std::string_view key) {
  return std::find(std::begin(kNewKeys), std::end(kNewKeys), key) != std::end(kNewKeys);
}

bool IsHardByPrefix(std::string_view key) {
  return std::any_of(std::begin(kHardPrefixes), std::end(kHardPrefixes),
                     [key](std::string_view prefix) { return key.starts_with(prefix); });
}

// The hard keys of either side, in a fixed order: what tells people most comes first.
std::vector<std::string> HardKeys(const KeyValues& a, const KeyValues& b) {
  std::vector<std::string> keys(std::begin(kHardKeys), std::end(kHardKeys));
  std::set<std::string> more;
  for (const KeyValues* side : {&a, &b}) {
    for (const KeyValues::Line& line : side->lines()) {
      if (IsHardByPrefix(line.key)) more.insert(line.key);
    }
  }
  const bool digest = more.erase(std::string(kFrequencies)) > 0;
  keys.insert(keys.end(), more.begin(), more.end());
  if (digest) keys.emplace_back(kFrequencies);
  return keys;
}

std::string_view ValueOr(const KeyValues& keys, std::string_view key) {
  return keys.Find(key).value_or("(none)");
}

std::string Difference(std::string_view key, const KeyValues& snapshot, const KeyValues& live) {
  return std::string(key) + ": the model has '" + std::string(ValueOr(live, key)) +
         "', the context was made with '" + std::string(ValueOr(snapshot, key)) + "'";
}

}  // namespace

KeyValues MakeConfig(const KeyValues& identity, const KvGeometry& kv) {
  KeyValues config = identity;
  config.SetInt("n_layers", kv.num_layers);
  config.SetInt("n_kv_heads", kv.num_kv_heads);
  config.SetInt("head_dim", kv.head_dim);
  config.Set("dtype", KvDTypeName(kv.dtype));
  config.Set("kv_dtype", CacheTypeName(kv.dtype));
  config.Set("cache_impl", "paged");
  return config;
}

Status CheckConfigKeys(const KeyValues& config) {
  for (const std::string_view key : kRequiredKeys) {
    if (!config.Contains(key)) {
      return MissingElement(std::string(kConfigFile) + ": " + std::string(key));
    }
  }
  return {};
}

Result<std::vector<std::string>> CheckIdentity(const KeyValues& snapshot, const KeyValues& live,
                                               const IdentityRules& rules) {
  std::vector<std::string> notes;
  std::string unchecked;
  const auto may_lack = [&](std::string_view key) {
    return rules.bare || (rules.minor < kIdentityMinor && IsNew(key));
  };
  for (const std::string& key : HardKeys(snapshot, live)) {
    if (!snapshot.Contains(key) && may_lack(key)) {
      if (live.Contains(key)) unchecked += (unchecked.empty() ? "" : ", ") + key;
      continue;
    }
    if (snapshot.Find(key) == live.Find(key)) continue;
    if (rules.bare && key == "kv_dtype") {
      notes.push_back("kv_dtype: converted from " + std::string(ValueOr(snapshot, key)) + " to " +
                      std::string(ValueOr(live, key)));
      continue;
    }
    return ModelMismatch(key, ValueOr(live, key), ValueOr(snapshot, key));
  }
  for (const std::string_view key : kSoftKeys) {
    if (rules.bare || !IsNew(key) || snapshot.Contains(key) || !live.Contains(key)) continue;
    unchecked += (unchecked.empty() ? "" : ", ") + std::string(key);
  }
  if (!unchecked.empty()) notes.push_back("not recorded, not checked: " + unchecked);

  if (snapshot.Find("numerics") != live.Find("numerics")) {
    const bool portable = live.Find("compute") != "bf16";
    if (portable && snapshot.Contains("numerics")) {
      return ModelMismatch("numerics", ValueOr(live, "numerics"), ValueOr(snapshot, "numerics"));
    }
    if (snapshot.Contains("numerics")) notes.push_back(Difference("numerics", snapshot, live));
  }
  for (const std::string_view key : kSoftKeys) {
    if (snapshot.Contains(key) && snapshot.Find(key) != live.Find(key)) {
      notes.push_back(Difference(key, snapshot, live));
    }
  }
  return notes;
}

}  // namespace gyrator

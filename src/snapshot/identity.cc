#include "snapshot/identity.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "snapshot/errors.h"

namespace gyrator {

namespace {

constexpr std::string_view kHardKeys[] = {
    "weights_sha256", "tokenizer_sha256", "arch",       "n_layers", "n_heads",
    "n_kv_heads",     "head_dim",         "vocab_size", "kv_dtype", "compute",
};
constexpr std::string_view kHardPrefixes[] = {"rope", "sliding_window"};
constexpr std::string_view kRequiredKeys[] = {
    "model",      "arch",    "n_layers", "n_heads",        "n_kv_heads",       "head_dim",
    "vocab_size", "dtype",   "kv_dtype", "cache_impl",     "cache_capacity",   "cache_position",
    "n_tokens",   "compute", "numerics", "weights_sha256", "tokenizer_sha256", "template_sha256",
};
constexpr std::string_view kSoftKeys[] = {"template_sha256", "model", "cache_impl",
                                          "cache_capacity"};

bool IsHardByPrefix(std::string_view key) {
  return std::any_of(std::begin(kHardPrefixes), std::end(kHardPrefixes),
                     [key](std::string_view prefix) { return key.starts_with(prefix); });
}

// The hard keys of either side, in a fixed order.
std::vector<std::string> HardKeys(const KeyValues& a, const KeyValues& b) {
  std::vector<std::string> keys(std::begin(kHardKeys), std::end(kHardKeys));
  std::set<std::string> more;
  for (const KeyValues* side : {&a, &b}) {
    for (const KeyValues::Line& line : side->lines()) {
      if (IsHardByPrefix(line.key)) more.insert(line.key);
    }
  }
  keys.insert(keys.end(), more.begin(), more.end());
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
                                               bool bare) {
  std::vector<std::string> notes;
  std::string unchecked;
  for (const std::string& key : HardKeys(snapshot, live)) {
    if (bare && !snapshot.Contains(key)) {
      if (live.Contains(key)) unchecked += (unchecked.empty() ? "" : ", ") + key;
      continue;
    }
    if (snapshot.Find(key) == live.Find(key)) continue;
    if (bare && key == "kv_dtype") {
      notes.push_back("kv_dtype: converted from " + std::string(ValueOr(snapshot, key)) + " to " +
                      std::string(ValueOr(live, key)));
      continue;
    }
    return ModelMismatch(key, ValueOr(live, key), ValueOr(snapshot, key));
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

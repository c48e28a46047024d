// Whose context is it: may a live model continue a snapshot (spec 5.3).
//
// Both sides are keys of config.txt. Hard keys must be equal; soft ones are reported. Knows keys
// and text, not models.
#pragma once

#include <string>
#include <vector>

#include "base/keyvalue.h"
#include "gyrator/status.h"
#include "snapshot/format.h"

namespace gyrator {

// The keys of `identity` (those the engine knows: model, what model/config.h names in IdentityOf,
// weights_sha256, tokenizer_sha256, template_sha256, ids of special tokens, quantisation, compute,
// numerics, cache_capacity) with those that follow from the KV geometry: n_layers, n_kv_heads,
// head_dim, dtype, kv_dtype, cache_impl.
KeyValues MakeConfig(const KeyValues& identity, const KvGeometry& kv);

// Every key that config.txt of a full folder must have; "missing_element" names the first that
// lacks.
Status CheckConfigKeys(const KeyValues& config);

// What a folder may leave out of its config.txt.
struct IdentityRules {
  // A bare folder: keys that it does not have are not compared, which is a note; another KV type is
  // converted, which is a note.
  bool bare = false;
  // The minor version of a full folder: keys that came with a later one are not compared when they
  // are absent, which is a note.
  int32_t minor = kFormatMinor;
};

// kMismatch "model_mismatch" with field, expected and found: weights, tokenizer, architecture,
// geometry, arithmetic (norm epsilon, biases, head, rope), sliding window, KV type, compute type,
// and numerics (f32 and int8; other bf16 numerics are a note). Notes: template, special tokens,
// model name, capacity, cache_impl.
Result<std::vector<std::string>> CheckIdentity(const KeyValues& snapshot, const KeyValues& live,
                                               const IdentityRules& rules);

}  // namespace gyrator

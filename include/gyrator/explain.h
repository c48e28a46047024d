// What a request would find in the cache, and why no more: Session::Explain.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gyrator/types.h"

namespace gyrator {

// Why what follows a position is not reused.
enum class Rule : uint8_t {
  // A message that is as it was is rendered otherwise than it was decoded: the template drops or
  // trims something of earlier turns.
  kTemplateDrift,
  // A message was changed, or the tokens that were given are others.
  kEditedHistory,
  // Only sessions of another namespace have it. Told when EngineOptions::explain_namespaces.
  kOtherNamespace,
  // The difference is at or before an evicted token, so the window is made anew; or K and V were
  // given up when the session was parked.
  kEvicted,
  // Nobody has it.
  kNeverSeen,
  // Of saved contexts, when the model or the flags do not match: nothing of it can be reused.
  kOtherComputeType,
  kOtherModel,
  kOtherAdapter,
};

// "template drift", "edited history", "other namespace", "evicted", "never seen", "other compute
// type", "other model", "other adapter"
std::string_view RuleName(Rule rule);

struct Divergence {
  int32_t position = 0;  // of the first token that is not reused for this reason, among all tokens
  TokenId had = -1;      // there; -1: the session had none
  TokenId wants = -1;    // -1: not known
  std::string had_text, wants_text;  // what they read as; empty without a tokenizer
  Rule rule = Rule::kNeverSeen;
  std::string detail;  // a phrase for people
};

// Of the next request, if nothing else runs meanwhile. prompt_tokens == own + shared + decode.
struct Explanation {
  int32_t prompt_tokens = 0;  // without those that were evicted
  int32_t own = 0;            // held by the session itself
  int32_t shared = 0;         // beyond those, from the prefix cache
  int32_t decode = 0;
  // Whether nothing has to be evicted first. When not, the numbers are those of a session that had
  // room: what the request evicts is decided when it runs.
  bool fits = true;
  int32_t evicted = 0;  // tokens outside the window now
  // The first difference from what the session holds; in its absence, why a session that holds
  // nothing of the prompt computes it. None when the prompt only goes on from what is held: what is
  // new is decoded. None in an engine without a cache, which decodes all.
  std::optional<Divergence> divergence;
};

}  // namespace gyrator

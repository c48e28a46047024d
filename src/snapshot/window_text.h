// metadata/window.txt: what was evicted from a conversation's cache, and by which rules.
//
// Names: the session's tokens are all of a conversation; the window is those that have K and V
// (input_ids.npy, cp of them): the session's tokens without the evicted ones. K and V of the window
// are a function of its tokens up to the first eviction alone: ExactPositions.
//
// Grammar (docs/formats/snapshot.md), lines that end in LF, numbers decimal without sign or leading
// zeros:
//   # window v1
//   overflow: <message | fifo | sink | score | error>
//   mode: <shift | recompute>
//   sinks: <n>
//   headroom: <n>
//   evicted: <at> <id>,<id>,...                       any number of them
//   log: <cp> <policy> <begin>-<end>,<begin>-<end>... any number of them, of either
//   log: <cp> rewind
// There is exactly one text for a value.
//
// Does not: know tokens by meaning, decide what is evicted (kv/eviction.h), or put anything back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator {

// Tokens that stood between the window's positions at - 1 and `at`.
struct EvictedSpan {
  int32_t at = 0;
  std::vector<TokenId> tokens;  // at least one
  bool operator==(const EvictedSpan&) const = default;
};

// The policy of an entry that is no eviction: positions from its cp on were decoded again.
inline constexpr std::string_view kRewind = "rewind";

// One eviction, or a rewind.
struct EvictionEntry {
  int32_t cp = 0;  // of the window when it happened; of a rewind, what stayed
  // [begin, end) of that window. They may reach beyond cp: tokens of a prompt, not decoded yet.
  std::vector<std::pair<int32_t, int32_t>> spans;
  // "message", "fifo", "sink", "score"; kRewind, which has no spans. Points at a name that lives
  // for ever.
  std::string_view policy;
  bool operator==(const EvictionEntry&) const = default;
};

struct WindowText {
  std::string overflow = "error";  // a policy, or "error": nothing is evicted any more
  std::string mode = "shift";      // "shift", "recompute": how what follows an eviction moves down
  int32_t sinks = 0;
  int32_t headroom = 0;
  std::vector<EvictedSpan> evicted = {};
  std::vector<EvictionEntry> log = {};  // in the order of time

  int64_t NumEvicted() const;
  // Leading positions of a window of `cp` before which nothing was evicted.
  int32_t ExactPositions(int32_t cp) const { return evicted.empty() ? cp : evicted.front().at; }
  bool operator==(const WindowText&) const = default;
};

// What ParseWindow gives back as it is, when it is a value that ParseWindow accepts.
std::string FormatWindow(const WindowText& window);

// kCorruption "state_inconsistent" names the line, what was expected and what was found:
//   the grammar; `at` ascending within [0, cp]; ids in [0, vocab);
//   spans of an entry ascending and disjoint, none empty; as many positions in all spans of the log
//   as there are evicted tokens.
Result<WindowText> ParseWindow(std::string_view text, int64_t cp, int64_t vocab);

}  // namespace gyrator

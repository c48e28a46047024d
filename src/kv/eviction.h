// Which positions leave when a sequence has to become shorter: policies that need no text.
//
// Pure functions of counts. Does not: look at tokens, move anything (Sequence::Evict does).
//
// kSink: Xiao et al., "Efficient Streaming Language Models with Attention Sinks" (2023).
#pragma once

#include <cstdint>
#include <vector>

#include "gyrator/status.h"
#include "kv/token_list.h"

namespace gyrator {

enum class EvictionPolicy : uint8_t {
  kMessage,  // whole turns, the oldest first; sinks are not used
  kFifo,     // the oldest positions
  kSink,     // all but the newest half, so that sinks and a window stay
  kScore,    // whole blocks, the lowest score first, of equal ones the oldest
};

// A sequence as the policies see it. REQUIRES: 0 <= pinned, sinks and newest; spans and turns as
// told, within [0, length].
struct WindowView {
  int32_t length = 0;
  int32_t pinned = 0;                  // leading positions that stay (a system prompt)
  int32_t sinks = 0;                   // positions behind those that stay too
  int32_t newest = 0;                  // trailing positions that stay
  std::vector<TokenSpan> atomic = {};  // go as a whole or not at all; ascending, disjoint
  std::vector<int32_t> turns = {};     // kMessage: where turns begin; ascending
  std::vector<float> scores = {};      // kScore: one a whole block of 16 positions; NaN goes last
  // Positions that stay though they are neither the first nor the newest; ascending, disjoint.
  std::vector<TokenSpan> kept = {};
  // Parts of the newest turn that may go, each as a whole (calls of tools): of the atomic spans.
  std::vector<TokenSpan> calls = {};
};

// Spans to evict, ascending and apart from each other: max(need, a quarter of what is movable,
// rounded up) positions or more, so that one is not asked for again soon. Movable is what a policy
// can free at all:
//   all       between pinned + sinks (kMessage: pinned) and the newest.
//   kMessage  of that, from the first beginning of a turn to the last one, where a beginning within
//             an atomic span is none; then the calls.
//   others    of that, without what is kept and the atomic spans that reach out of it. If an
//             eviction enters an atomic span, the whole span goes.
//   kScore    of that, the blocks that lie in it whole and meet nothing that is kept, with all of
//             the atomic spans that they meet; and each call, whose score is the mean of its
//             blocks'.
// kExhausted "capacity" names need and what is movable when that is less. REQUIRES need >= 0.
Result<std::vector<TokenSpan>> PlanEviction(EvictionPolicy policy, const WindowView& view,
                                            int32_t need);

}  // namespace gyrator

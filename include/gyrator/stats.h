// What an engine has done and holds. Every number is counted or measured, none is
// estimated.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace gyrator {

struct EngineStats {
  // Since the engine was made.
  uint64_t requests = 0;  // turns and completions, failed ones included
  uint64_t requests_failed = 0;
  uint64_t passes = 0;                // forward passes
  uint64_t tokens_decoded = 0;        // rows of those passes: prompts, replies, and what was lost
  uint64_t tokens_generated = 0;      // sampled
  uint64_t tokens_reused_own = 0;     // prompt tokens that the session itself held
  uint64_t tokens_reused_shared = 0;  // prompt tokens that another session had computed
  uint64_t tokens_lost = 0;           // of parked sessions, decoded again
  uint64_t blocks_copied = 0;         // copy-on-write
  uint64_t blocks_evicted = 0;        // cached prefixes that made room
  uint64_t blocks_cooled = 0;         // of those, written to the swap file
  uint64_t blocks_warmed = 0;         // and read back
  uint64_t blocks_spilled = 0;        // of idle sessions, to the spill memory
  uint64_t blocks_unspilled = 0;      // and back
  // Evictions from sessions' windows, by policy: message, fifo, sink, score.
  std::array<uint64_t, 4> evictions = {};
  uint64_t tokens_evicted = 0;
  uint64_t passes_to_score = 0;  // forward passes that only looked, for the policy "score"
  uint64_t windows_rebuilt = 0;  // a history differed at or before an evicted token
  uint64_t sessions_parked = 0;  // times
  uint64_t sessions_resumed = 0;
  // Where the time of its thread went, in nanoseconds; waiting for work is in none of them.
  uint64_t forward_ns = 0;  // forward passes
  uint64_t loop_ns = 0;     // what goes on between them: admission, plans, samplers, commits
  uint64_t sample_ns = 0;   // of loop_ns, the samplers

  // Now.
  int32_t slots_total = 0, slots_free = 0;
  int32_t blocks_total = 0, blocks_free = 0;
  int32_t blocks_cached = 0;    // in the prefix cache; those that sessions use too among them
  int32_t blocks_cold = 0;      // of the prefix cache, in the swap file
  int32_t prefixes_cached = 0;  // leaves of it, in memory or not
  int32_t parked = 0;           // sessions
  uint64_t block_bytes = 0;     // of one block, all layers
  uint64_t swap_bytes = 0, swap_bytes_max = 0;
  uint64_t spill_bytes = 0, spill_bytes_max = 0;
  int64_t namespaces_cached = 0;  // of which the prefix cache holds something
};

// The text format of Prometheus (exposition format 0.0.4), names "gyrator_...".
std::string PrometheusText(const EngineStats& stats);

}  // namespace gyrator

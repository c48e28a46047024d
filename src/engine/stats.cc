#include "gyrator/stats.h"

#include <fmt/format.h>

namespace gyrator {

namespace {

void Add(std::string_view type, std::string_view name, std::string_view help, uint64_t value,
         std::string* text) {
  *text += fmt::format("# HELP gyrator_{0} {1}\n# TYPE gyrator_{0} {2}\ngyrator_{0} {3}\n", name,
                       help, type, value);
}

void AddEvictions(const EngineStats& s, std::string* text) {
  constexpr std::array<std::string_view, 4> kPolicies = {"message", "fifo", "sink", "score"};
  *text +=
      "# HELP gyrator_evictions_total Evictions from the windows of sessions.\n"
      "# TYPE gyrator_evictions_total counter\n";
  for (size_t i = 0; i < kPolicies.size(); ++i) {
    *text +=
        fmt::format("gyrator_evictions_total{{policy=\"{}\"}} {}\n", kPolicies[i], s.evictions[i]);
  }
}

}  // namespace

std::string PrometheusText(const EngineStats& s) {
  std::string text;
  const auto counter = [&](std::string_view name, std::string_view help, uint64_t value) {
    Add("counter", name, help, value, &text);
  };
  const auto gauge = [&](std::string_view name, std::string_view help, uint64_t value) {
    Add("gauge", name, help, value, &text);
  };
  counter("requests_total", "Turns and completions, failed ones included.", s.requests);
  counter("requests_failed_total", "Turns and completions that failed.", s.requests_failed);
  counter("passes_total", "Forward passes.", s.passes);
  counter("tokens_decoded_total", "Rows of forward passes.", s.tokens_decoded);
  counter("tokens_generated_total", "Sampled tokens.", s.tokens_generated);
  counter("tokens_reused_own_total", "Prompt tokens that the session itself held.",
          s.tokens_reused_own);
  counter("tokens_reused_shared_total", "Prompt tokens that another session had computed.",
          s.tokens_reused_shared);
  counter("tokens_lost_total", "Tokens of parked sessions that are decoded again.", s.tokens_lost);
  counter("kv_blocks_copied_total", "Blocks copied before a write.", s.blocks_copied);
  counter("kv_blocks_evicted_total", "Cached blocks that made room.", s.blocks_evicted);
  counter("kv_blocks_cooled_total", "Of those, written to the swap file.", s.blocks_cooled);
  counter("kv_blocks_warmed_total", "Cached blocks read from the swap file.", s.blocks_warmed);
  counter("kv_blocks_spilled_total", "Blocks of idle sessions written to the spill memory.",
          s.blocks_spilled);
  counter("kv_blocks_unspilled_total", "Blocks read from the spill memory.", s.blocks_unspilled);
  AddEvictions(s, &text);
  counter("tokens_evicted_total", "Tokens that left the windows of sessions.", s.tokens_evicted);
  counter("passes_to_score_total", "Forward passes that chose what to evict.", s.passes_to_score);
  counter("windows_rebuilt_total",
          "Windows made anew: the history differed before what was evicted.", s.windows_rebuilt);
  counter("sessions_parked_total", "Times a session gave its blocks away.", s.sessions_parked);
  counter("sessions_resumed_total", "Times a parked session came back.", s.sessions_resumed);
  counter("forward_nanoseconds_total", "Time in forward passes.", s.forward_ns);
  counter("loop_nanoseconds_total", "Time between them: admission, plans, samplers, commits.",
          s.loop_ns);
  counter("sample_nanoseconds_total", "Of the time between them, the samplers.", s.sample_ns);
  gauge("slots", "Sessions that may live at once.", static_cast<uint64_t>(s.slots_total));
  gauge("slots_free", "Slots that nobody holds.", static_cast<uint64_t>(s.slots_free));
  gauge("kv_blocks", "Blocks of the pool.", static_cast<uint64_t>(s.blocks_total));
  gauge("kv_blocks_free", "Blocks that nobody holds.", static_cast<uint64_t>(s.blocks_free));
  gauge("kv_blocks_cached", "Blocks of the prefix cache.", static_cast<uint64_t>(s.blocks_cached));
  gauge("kv_blocks_cold", "Blocks of the prefix cache in the swap file.",
        static_cast<uint64_t>(s.blocks_cold));
  gauge("kv_block_bytes", "Bytes of a block, all layers.", s.block_bytes);
  gauge("prefixes_cached", "Leaves of the prefix cache.", static_cast<uint64_t>(s.prefixes_cached));
  gauge("sessions_parked", "Sessions without blocks.", static_cast<uint64_t>(s.parked));
  gauge("swap_bytes", "Bytes in the swap file.", s.swap_bytes);
  gauge("swap_bytes_max", "Cap of the swap file.", s.swap_bytes_max);
  gauge("spill_bytes", "Bytes in the spill memory.", s.spill_bytes);
  gauge("spill_bytes_max", "Budget of the spill memory.", s.spill_bytes_max);
  gauge("namespaces_cached", "Namespaces that have something in the prefix cache.",
        static_cast<uint64_t>(s.namespaces_cached));
  return text;
}

}  // namespace gyrator

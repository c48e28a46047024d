// Every number of EngineStats has its line for Prometheus, with its own value.
#include "gyrator/stats.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>

namespace gyrator {
namespace {

// "name value" of all lines that are no comments.
std::map<std::string, std::string> Samples(const std::string& text) {
  std::map<std::string, std::string> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) continue;
    const size_t space = line.rfind(' ');
    EXPECT_TRUE(samples.emplace(line.substr(0, space), line.substr(space + 1)).second) << line;
  }
  return samples;
}

TEST(Prometheus, EveryCounterAndGaugeHasItsLine) {
  EngineStats s;
  uint64_t next = 0;
  std::map<std::string, std::string> expected;
  const auto set = [&](auto& field, const std::string& name) {
    field = static_cast<std::remove_reference_t<decltype(field)>>(++next);
    expected["gyrator_" + name] = std::to_string(next);
  };
  set(s.requests, "requests_total");
  set(s.requests_failed, "requests_failed_total");
  set(s.passes, "passes_total");
  set(s.tokens_decoded, "tokens_decoded_total");
  set(s.tokens_generated, "tokens_generated_total");
  set(s.tokens_reused_own, "tokens_reused_own_total");
  set(s.tokens_reused_shared, "tokens_reused_shared_total");
  set(s.tokens_lost, "tokens_lost_total");
  set(s.blocks_copied, "kv_blocks_copied_total");
  set(s.blocks_evicted, "kv_blocks_evicted_total");
  set(s.blocks_cooled, "kv_blocks_cooled_total");
  set(s.blocks_warmed, "kv_blocks_warmed_total");
  set(s.blocks_spilled, "kv_blocks_spilled_total");
  set(s.blocks_unspilled, "kv_blocks_unspilled_total");
  for (size_t i = 0; i < s.evictions.size(); ++i) {
    constexpr const char* kPolicies[] = {"message", "fifo", "sink", "score"};
    set(s.evictions[i], std::string("evictions_total{policy=\"") + kPolicies[i] + "\"}");
  }
  set(s.tokens_evicted, "tokens_evicted_total");
  set(s.passes_to_score, "passes_to_score_total");
  set(s.windows_rebuilt, "windows_rebuilt_total");
  set(s.sessions_parked, "sessions_parked_total");
  set(s.sessions_resumed, "sessions_resumed_total");
  set(s.forward_ns, "forward_nanoseconds_total");
  set(s.loop_ns, "loop_nanoseconds_total");
  set(s.sample_ns, "sample_nanoseconds_total");
  set(s.slots_total, "slots");
  set(s.slots_free, "slots_free");
  set(s.blocks_total, "kv_blocks");
  set(s.blocks_free, "kv_blocks_free");
  set(s.blocks_cached, "kv_blocks_cached");
  set(s.blocks_cold, "kv_blocks_cold");
  set(s.prefixes_cached, "prefixes_cached");
  set(s.parked, "sessions_parked");
  set(s.block_bytes, "kv_block_bytes");
  set(s.swap_bytes, "swap_bytes");
  set(s.swap_bytes_max, "swap_bytes_max");
  set(s.spill_bytes, "spill_bytes");
  set(s.spill_bytes_max, "spill_bytes_max");
  set(s.namespaces_cached, "namespaces_cached");
  EXPECT_EQ(Samples(PrometheusText(s)), expected);
}

}  // namespace
}  // namespace gyrator

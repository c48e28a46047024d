// Equal bits: sessions of a busy pool against the same scripts alone in fresh processes. Forks,
// prefix hits, parking with and without a swap file, neighbours that come and go, cancellation,
// eviction by equal logs.
//
// schedules_test [--schedules=N] [--first=K] [--seed=N]
//   of each model and compute type; default 20, from the first one on, scripts of seed 1
// schedules_test --alone MODEL COMPUTE NUMBER [--seed=N]
//   what a script says alone, turn by turn
#include <gtest/gtest.h>

#include <iostream>
#include <tuple>

#include "tests/schedules/alone.h"
#include "tests/schedules/busy.h"
#include "tests/schedules/chat_model.h"

namespace gyrator {
namespace {

struct Flags {
  int32_t schedules = 20;
  int32_t first = 0;
  uint64_t seed = 1;
  std::vector<std::string> alone;  // words behind --alone
};
Flags flags;

constexpr int32_t kEnough = 20;  // schedules of each that meet with everything
constexpr int kCasts = 9;
constexpr int32_t kTellEvery = 100;

struct Total {
  int casts = 0;
  uint64_t scripts = 0, turns_alone = 0;
  Counts counts;
};
Total total;

class SchedulesTest : public testing::TestWithParam<std::tuple<const char*, ComputeType>> {
 protected:
  static Cast CastOf() {
    return {
        .model = std::get<0>(GetParam()), .compute = std::get<1>(GetParam()), .seed = flags.seed};
  }
};

TEST_P(SchedulesTest, EverySessionIsAsAloneInAFreshProcess) {
  const Cast cast = CastOf();
  const std::vector<Script> scripts = cast.Scripts();
  std::vector<Schedule> schedules;
  std::set<int32_t> used;
  for (int32_t i = 0; i < flags.schedules; ++i) {
    schedules.push_back(DrawSchedule(cast, scripts, flags.first + i));
    for (const Part& part : schedules.back().parts) used.insert(part.script->number);
  }
  const auto alone = PlayEachAlone(cast, used);
  uint64_t turns = 0;
  for (const auto& [number, lines] : alone) turns += lines.size();
  std::cout << cast.name() << ": " << used.size() << " of " << kScripts
            << " scripts alone, each in a process of its own, " << turns << " turns" << std::endl;
  const auto model = LoadChatModel(cast.model, cast.compute);
  Counts counts;
  for (size_t i = 0; i < schedules.size() && !HasFailure(); ++i) {
    const Played played = Play(schedules[i], model, alone);
    for (const std::string& difference : played.differences) {
      ADD_FAILURE() << difference << "\n  again: --seed=" << flags.seed
                    << " --first=" << flags.first + static_cast<int32_t>(i)
                    << " --schedules=1 (clients: " << schedules[i].clients << ")";
    }
    counts.Add(played.counts);
    if ((i + 1) % kTellEvery == 0) std::cout << cast.name() << ": " << i + 1 << " schedules\n";
  }
  std::cout << cast.name() << ": " << counts.ToString() << std::endl;
  ++total.casts;
  total.scripts += used.size();
  total.turns_alone += turns;
  total.counts.Add(counts);
}

// Tells what all schedules came to, and whether they did what they are for.
class Sums : public testing::Environment {
 public:
  void TearDown() override {
    const Counts& counts = total.counts;
    std::cout << "seed " << flags.seed << ": " << total.scripts << " scripts alone, "
              << total.turns_alone << " turns; " << counts.ToString() << std::endl;
    if (total.casts < kCasts || flags.schedules < kEnough) return;
    EXPECT_GT(counts.forks, 0u);
    EXPECT_GT(counts.cancelled, 0u);
    EXPECT_GT(counts.refused, 0u);
    EXPECT_GT(counts.swapped, 0u);
    EXPECT_GT(counts.engine.tokens_lost, 0u);
    EXPECT_GT(counts.engine.tokens_reused_shared, 0u);
    EXPECT_GT(counts.engine.blocks_copied, 0u);
    EXPECT_GT(counts.engine.windows_rebuilt, 0u);
    for (const uint64_t evictions : counts.engine.evictions) EXPECT_GT(evictions, 0u);
  }
};

INSTANTIATE_TEST_SUITE_P(Models, SchedulesTest,
                         testing::Combine(testing::Values("llama3", "qwen2", "qwen3"),
                                          testing::Values(ComputeType::kF32, ComputeType::kBF16,
                                                          ComputeType::kInt8)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::string(ComputeTypeName(std::get<1>(test.param)));
                         });

void ReadFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with("--schedules=")) flags.schedules = std::stoi(flag.substr(12));
    if (flag.starts_with("--first=")) flags.first = std::stoi(flag.substr(8));
    if (flag.starts_with("--seed=")) flags.seed = std::stoull(flag.substr(7));
    if (flag == "--alone" && i + 3 < argc) flags.alone = {argv[i + 1], argv[i + 2], argv[i + 3]};
  }
}

int PlayOneAlone() {
  for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    if (ComputeTypeName(compute) != flags.alone[1]) continue;
    return PlayAlone({.model = flags.alone[0], .compute = compute, .seed = flags.seed},
                     std::stoi(flags.alone[2]));
  }
  return 2;
}

}  // namespace
}  // namespace gyrator

int main(int argc, char** argv) {
  gyrator::ReadFlags(argc, argv);
  if (!gyrator::flags.alone.empty()) return gyrator::PlayOneAlone();
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new gyrator::Sums);  // gtest's own from here on
  return RUN_ALL_TESTS();
}

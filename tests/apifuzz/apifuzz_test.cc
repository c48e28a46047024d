// Calls of the whole API, failures and callbacks drawn at random: after each, a session is that of
// a new session given the same calls. Tokens, counts, logits, blocks, and what is saved.
//
// apifuzz_test [--calls=N] [--seed=N]
//   calls in all, shared by nine casts (three models, three compute types); 2,000 of seed 1
#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <tuple>

#include "tests/apifuzz/world.h"
#include "tests/schedules/chat_model.h"

namespace gyrator {
namespace {

constexpr int64_t kCasts = 9;
constexpr int64_t kEnough = 2000;  // calls that meet with everything
constexpr int64_t kTellEvery = 5000;

int64_t run_calls = 2000;
uint64_t run_seed = 1;
Tally total;
int casts_run = 0;

class ApiFuzzTest : public testing::TestWithParam<std::tuple<const char*, ComputeType>> {};

TEST_P(ApiFuzzTest, ASessionIsThatOfANewOneGivenTheSameCalls) {
  const auto& [model, compute] = GetParam();
  const std::string name = std::string(model) + "/" + std::string(ComputeTypeName(compute));
  const ChatModelFolder folder(model);
  World world(name, folder.Load(compute), run_seed);
  const int64_t calls = (run_calls + kCasts - 1) / kCasts;
  int64_t done = 0;
  while (done < calls && !HasFailure()) {
    world.Call();
    if (++done % kTellEvery == 0) std::cout << name << ": " << done << " calls" << std::endl;
  }
  if (HasFailure()) std::cout << "again: --seed=" << run_seed << " --calls=" << run_calls << "\n";
  ++casts_run;
  total["calls"] += static_cast<uint64_t>(done);
  for (const auto& [what, count] : world.tally()) total[what] += count;
}

INSTANTIATE_TEST_SUITE_P(Casts, ApiFuzzTest,
                         testing::Combine(testing::Values("llama3", "qwen2", "qwen3"),
                                          testing::Values(ComputeType::kF32, ComputeType::kBF16,
                                                          ComputeType::kInt8)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::string(ComputeTypeName(std::get<1>(test.param)));
                         });

// Tells what all calls came to, and whether they met with what they are for.
class Sums : public testing::Environment {
 public:
  void TearDown() override {
    std::cout << "seed " << run_seed << ":";
    for (const auto& [what, count] : total) std::cout << "\n  " << count << " " << what;
    std::cout << std::endl;
    if (casts_run < kCasts || run_calls < kEnough) return;
    for (const char* what :
         {"allocations that failed", "batches", "batches that threw", "callbacks that call",
          "forks", "refused", "saves", "saves to a full disk", "shadows renewed",
          "talks answered, one twice", "the same session twice", "threw"}) {
      EXPECT_GT(total[what], 0u) << what;
    }
  }
};

void ReadFlags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag.starts_with("--calls=")) run_calls = std::stoll(flag.substr(8));
    if (flag.starts_with("--seed=")) run_seed = std::stoull(flag.substr(7));
  }
}

}  // namespace
}  // namespace gyrator

int main(int argc, char** argv) {
  gyrator::ReadFlags(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new gyrator::Sums);  // gtest's own from here on
  return RUN_ALL_TESTS();
}

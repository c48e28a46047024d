// Session::Explain in a pool that is too small: it says what the next request then does, whatever
// is parked, swapped, spilled or cold.
#include <gtest/gtest.h>

#include <random>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

struct Stores {
  const char* name;
  uint64_t swap_blocks;
  uint64_t spill_blocks;
};

class ExplainCrowded : public testing::TestWithParam<Stores> {
 protected:
  static constexpr uint64_t kBlock = 40960;
  static constexpr size_t kTalks = 6;

  void SetUp() override {
    engine_ = MakeEngine(model_, {.context = 128,
                                  .kv_budget = 14 * kBlock,
                                  .swap_budget = GetParam().swap_blocks * kBlock,
                                  .swap_directory = testing::TempDir(),
                                  .spill_budget = GetParam().spill_blocks * kBlock,
                                  .threads = 1});
    for (size_t i = 0; i < kTalks; ++i) {
      SessionOptions options;
      options.sampler.seed = i;
      if (i % 2 == 1) options.window = {.overflow = Overflow::kFifo, .headroom = 16};
      talks_.push_back(*engine_->NewSession(options));
      Say(i, {.role = "system", .content = "You are kind and you answer briefly.", .extras = {}});
    }
  }
  void Say(size_t talk, Message message) {
    EXPECT_TRUE(talks_[talk]->Append(std::move(message)).ok());
  }
  // One turn of a talk, explained before; whether it had not to evict.
  bool Turn(size_t talk, int turn) {
    Session& session = *talks_[talk];
    Say(talk, {.role = "user", .content = "Line " + std::to_string(turn), .extras = {}});
    const auto before = session.Explain();
    const auto again = session.Explain();  // changes nothing
    EXPECT_TRUE(before.ok() && again.ok());
    const auto reply = session.Respond(Steps(4));
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    if (!before.ok() || !again.ok() || !reply.ok()) return false;
    EXPECT_EQ(before->own, again->own);
    EXPECT_EQ(before->prompt_tokens, before->own + before->shared + before->decode);
    if (!before->fits) return false;
    EXPECT_EQ(before->own + before->shared, reply->tokens_reused) << talk << " turn " << turn;
    EXPECT_EQ(before->shared, reply->tokens_shared) << talk << " turn " << turn;
    EXPECT_EQ(before->decode, reply->tokens_decoded) << talk << " turn " << turn;
    return true;
  }

  std::shared_ptr<const Model> model_ = LoadShipped(ComputeType::kInt8);
  std::unique_ptr<Engine> engine_;
  std::vector<std::unique_ptr<Session>> talks_;
};

TEST_P(ExplainCrowded, TheNextRequestDoesWhatWasSaid) {
  std::mt19937 random(7);
  int fitted = 0;
  std::vector<int> turns(kTalks, 0);
  for (int step = 0; step < 120 && !HasFailure(); ++step) {
    const size_t talk = random() % kTalks;
    if (talk % 2 == 0 && turns[talk] == 5) {  // it has no room for more, and evicts nothing
      ASSERT_TRUE(talks_[talk]->Rewind(1).ok());
      turns[talk] = 0;
    }
    fitted += Turn(talk, turns[talk]++) ? 1 : 0;
  }
  EXPECT_GT(fitted, 50);
  EXPECT_GT(engine_->stats().sessions_parked, 10u);
}

INSTANTIATE_TEST_SUITE_P(Places, ExplainCrowded,
                         testing::Values(Stores{"spill", 0, 30}, Stores{"swap", 100, 0},
                                         Stores{"small_swap", 9, 30}, Stores{"tiny_swap", 2, 30}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace gyrator

// A pass in which the numbers of some sessions overflow: each of those fails, the others go on.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

class FailedPassTest : public testing::TestWithParam<std::vector<bool>> {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "failed_pass" + std::to_string(::getpid());
    std::filesystem::remove_all(root_);
    const auto session = MakeSession(*engine_, 1);
    ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(1)).ok());
    const auto saved = session->Save({.root = root_});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    folder_ = saved->folder;
    for (const char* part : {"chat.json", "logits.npy", "metadata/manifest.txt",
                             "metadata/session.txt", "metadata/protocol.txt", "metadata/keylog.txt",
                             "metadata/obfchain.txt", "metadata/window.txt"}) {
      std::filesystem::remove(folder_ + "/" + part);
    }
    const std::string values = folder_ + "/past_key_values/1_value.npy";
    const auto size = std::filesystem::file_size(values);
    std::fstream file(values, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(128);
    file << std::string(size - 128, '\x7f');
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::shared_ptr<const Model> model_ = LoadGolden("llama3", ComputeType::kInt8);
  std::unique_ptr<Engine> engine_ =
      MakeEngine(model_, {.context = 64, .sessions_max = 8, .threads = 1});
  std::string root_, folder_;
};

// The parameter says of each session of the batch whether its numbers overflow.
TEST_P(FailedPassTest, WhoOverflowsFailsAndTheOthersAreAsAlone) {
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  for (size_t i = 0; i < GetParam().size(); ++i) {
    const auto first = static_cast<TokenId>(30 + 20 * i);
    if (GetParam()[i]) {
      auto broken = engine_->LoadSession(folder_, nullptr);
      ASSERT_TRUE(broken.ok()) << broken.status().ToString();
      sessions.push_back(*std::move(broken));
      batch.push_back({.session = sessions.back().get(),
                       .prefix = Join(Numbers(20, 3), {first, 8}),
                       .options = Steps(3)});
    } else {
      sessions.push_back(MakeSession(*engine_, 7));
      batch.push_back(
          {.session = sessions.back().get(), .prefix = Numbers(12, first), .options = Steps(3)});
    }
  }
  const auto replies = engine_->Run(batch);
  const auto quiet = MakeEngine(model_, {.context = 64, .threads = 1});
  uint64_t failed = 0;
  for (size_t i = 0; i < replies.size(); ++i) {
    if (GetParam()[i]) {
      EXPECT_EQ("not_finite", replies[i].status().name()) << i;
      ++failed;
      continue;
    }
    ASSERT_TRUE(replies[i].ok()) << i << ": " << replies[i].status().ToString();
    const auto alone = MakeSession(*quiet, 7);
    const auto first = static_cast<TokenId>(30 + 20 * i);
    EXPECT_EQ(alone->Complete(Numbers(12, first), Steps(3))->tokens, replies[i]->tokens) << i;
    EXPECT_TRUE(std::ranges::equal(alone->last_logits(), sessions[i]->last_logits())) << i;
  }
  EXPECT_EQ(failed, engine_->stats().requests_failed);
}

INSTANTIATE_TEST_SUITE_P(Batches, FailedPassTest,
                         testing::Values(std::vector<bool>{true, true},
                                         std::vector<bool>{true, false, true},
                                         std::vector<bool>{false, true, false, true, false},
                                         std::vector<bool>{true, true, true, false},
                                         std::vector<bool>{false, true, true}));

}  // namespace
}  // namespace gyrator

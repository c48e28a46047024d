// The state behind an eviction is a function of the tokens and of the log: whatever the script,
// equal tokens and an equal log give equal bits, and what gives other bits has another log.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

constexpr int32_t kContext = 64;

class EvictionLog : public testing::TestWithParam<ComputeType> {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.context = kContext;
    options.sessions_max = 8;
    options.threads = 1;
    engine_ = MakeEngine(LoadGolden("qwen3", GetParam()), options);
  }

  std::unique_ptr<Session> New(Overflow overflow) {
    auto session = MakeSession(*engine_, 5);
    const WindowOptions window = {
        .overflow = overflow, .mode = EvictMode::kShift, .sinks = 4, .headroom = 4};
    EXPECT_TRUE(session->SetWindow(window).ok());
    return session;
  }

  // Makes `tokens` all that was said.
  static void Say(Session& session, const std::vector<TokenId>& tokens) {
    const auto reply = session.Complete(tokens, Steps(0));
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
  }

  static std::string LogOf(Session& session) {
    const std::string root = testing::TempDir() + "eviction_log_" + std::to_string(::getpid());
    const auto saved = session.Save({.root = root});
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    std::stringstream text;
    if (saved.ok()) text << std::ifstream(saved->folder + "/metadata/window.txt").rdbuf();
    std::filesystem::remove_all(root);
    return text.str();
  }

  static bool SameLogits(const Session& a, const Session& b) {
    EXPECT_FALSE(a.last_logits().empty());
    return std::ranges::equal(a.last_logits(), b.last_logits());
  }

  std::unique_ptr<Engine> engine_;
};
INSTANTIATE_TEST_SUITE_P(Computes, EvictionLog,
                         testing::Values(ComputeType::kF32, ComputeType::kBF16,
                                         ComputeType::kInt8));

TEST_P(EvictionLog, EqualTokensAndLogsGiveEqualBits) {
  for (const Overflow overflow : {Overflow::kFifo, Overflow::kSink}) {
    const auto prompt = Numbers(56, 1), more = Join(prompt, Numbers(20, 90));
    const auto cut = std::vector<TokenId>(more.begin(), more.begin() + 50);
    const auto end = Join(cut, Numbers(6, 200));
    const auto a = New(overflow), b = New(overflow), straight = New(overflow);
    for (Session* session : {a.get(), b.get()}) {
      Say(*session, prompt);
      Say(*session, more);  // evicts
      ASSERT_GT(session->info().evictions, 0);
    }
    Say(*b, Join(cut, Numbers(9, 30)));  // and b went another way in between
    Say(*a, end);
    Say(*b, end);
    EXPECT_EQ(LogOf(*a), LogOf(*b));
    EXPECT_TRUE(SameLogits(*a, *b));
    // Who never went back there has another state, and the log tells them apart.
    Say(*straight, prompt);
    Say(*straight, more);
    Say(*straight, Join(more, Numbers(3, 7)));
    EXPECT_EQ(std::string::npos, LogOf(*straight).find("rewind"));
    EXPECT_NE(std::string::npos, LogOf(*a).find("rewind"));
  }
}

// What comes after the last eviction may be said, taken back and said again.
TEST_P(EvictionLog, WhatWasDecodedSinceTheLastEvictionLeavesNoTrace) {
  const auto prompt = Numbers(56, 1), more = Join(prompt, Numbers(20, 90));
  const auto a = New(Overflow::kFifo), b = New(Overflow::kFifo);
  for (Session* session : {a.get(), b.get()}) {
    Say(*session, prompt);
    Say(*session, more);
  }
  Say(*b, Join(more, Numbers(8, 30)));
  Say(*a, Join(more, Numbers(5, 200)));
  Say(*b, Join(more, Numbers(5, 200)));
  EXPECT_EQ(LogOf(*a), LogOf(*b));
  EXPECT_EQ(std::string::npos, LogOf(*a).find("rewind"));
  EXPECT_TRUE(SameLogits(*a, *b));
}

// The same tokens, the same evictions; one of them was decoded again behind the gap.
TEST_P(EvictionLog, OtherBitsHaveAnotherLog) {
  const auto prompt = Numbers(56, 1), more = Join(prompt, Numbers(20, 90));
  const auto a = New(Overflow::kFifo), b = New(Overflow::kFifo);
  for (Session* session : {a.get(), b.get()}) {
    Say(*session, prompt);
    Say(*session, more);
  }
  Say(*b, Join(std::vector<TokenId>(more.begin(), more.begin() + 40), Numbers(1, 3)));
  Say(*b, more);
  EXPECT_FALSE(SameLogits(*a, *b));
  EXPECT_NE(LogOf(*a), LogOf(*b));
}

}  // namespace
}  // namespace gyrator

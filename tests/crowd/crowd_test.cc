// Ten thousand conversations over a pool that holds fifty: all finish, and every hundredth has the
// bits of a run alone. Half of what is parked fits the swap file; the rest is computed again.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/source_path_testing.h"
#include "gyrator/engine.h"

namespace gyrator {
namespace {

constexpr int32_t kSessions = 10000;
constexpr int32_t kPool = 50;      // full sessions
constexpr int32_t kTogether = 40;  // in one batch
constexpr int32_t kTurns = 3;
constexpr int32_t kPrompt = 30, kReply = 10;  // tokens of a turn
constexpr int32_t kContext = 128;
constexpr int32_t kCheckEvery = 100;

class Crowd : public testing::Test {
 protected:
  void SetUp() override {
    auto model =
        Model::Load(SourcePath("tests/golden/models/qwen2"), {.compute = ComputeType::kInt8,
                                                              .isa = "auto",
                                                              .threads = 1,
                                                              .digest_cache = {},
                                                              .progress = {}});
    ASSERT_TRUE(model.ok()) << model.status().ToString();
    model_ = *std::move(model);
  }

  std::unique_ptr<Engine> Make(int32_t sessions, uint64_t swap_budget) {
    EngineOptions options;
    options.context = kContext;
    options.sessions_max = sessions;
    options.swap_budget = swap_budget;
    options.swap_directory = testing::TempDir();
    options.threads = 2;
    auto engine = Engine::Create(model_, options);
    EXPECT_TRUE(engine.ok()) << engine.status().ToString();
    return *std::move(engine);
  }

  static std::unique_ptr<Session> New(Engine& engine, int32_t i) {
    SessionOptions options;
    options.sampler.seed = static_cast<uint64_t>(i);
    return *engine.NewSession(options);
  }

  // What session i says in a turn.
  static std::vector<TokenId> Line(int32_t i, int32_t turn) {
    std::vector<TokenId> line;
    for (int32_t t = 0; t < kPrompt; ++t)
      line.push_back((i * 31 + turn * 17 + t * (7 + i % 5)) % 250);
    return line;
  }
  static GenerateOptions Steps() {
    GenerateOptions options;
    options.tokens_max = kReply;
    options.ignore_end = true;
    return options;
  }

  // The whole conversation i, alone in an engine of its own, with its last logits.
  std::pair<std::vector<TokenId>, std::vector<float>> Alone(int32_t i) {
    const auto engine = Make(1, 0);
    const auto session = New(*engine, i);
    std::vector<TokenId> said;
    for (int32_t turn = 0; turn < kTurns; ++turn) {
      for (TokenId token : Line(i, turn)) said.push_back(token);
      const auto reply = session->Complete(said, Steps());
      EXPECT_TRUE(reply.ok()) << reply.status().ToString();
      said.insert(said.end(), reply->tokens.begin(), reply->tokens.end());
    }
    return {said, {session->last_logits().begin(), session->last_logits().end()}};
  }

  std::shared_ptr<const Model> model_;
};

TEST_F(Crowd, TenThousandSessionsOverAPoolOfFifty) {
  const auto engine = Make(kPool, uint64_t{160} << 20);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<std::vector<TokenId>> said(kSessions);
  for (int32_t i = 0; i < kSessions; ++i) sessions.push_back(New(*engine, i));
  for (int32_t turn = 0; turn < kTurns; ++turn) {
    for (int32_t first = 0; first < kSessions; first += kTogether) {
      std::vector<BatchRequest> batch;
      for (int32_t i = first; i < first + kTogether; ++i) {
        auto& tokens = said[static_cast<size_t>(i)];
        for (TokenId token : Line(i, turn)) tokens.push_back(token);
        batch.push_back({.session = sessions[static_cast<size_t>(i)].get(),
                         .prefix = tokens,
                         .options = Steps()});
      }
      const auto replies = engine->Run(batch);
      for (int32_t i = 0; i < kTogether; ++i) {
        const auto& reply = replies[static_cast<size_t>(i)];
        ASSERT_TRUE(reply.ok()) << "session " << first + i << ": " << reply.status().ToString();
        auto& tokens = said[static_cast<size_t>(first + i)];
        tokens.insert(tokens.end(), reply->tokens.begin(), reply->tokens.end());
      }
    }
  }
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.requests, static_cast<uint64_t>(kSessions) * kTurns);
  EXPECT_EQ(stats.tokens_generated, static_cast<uint64_t>(kSessions) * kTurns * kReply);
  EXPECT_EQ(stats.requests_failed, 0u);
  EXPECT_GT(stats.tokens_lost, 0u) << "the swap file was to hold a part only";
  EXPECT_GT(stats.swap_bytes, stats.swap_bytes_max / 2);
  EXPECT_GT(stats.parked, kSessions - kPool - 1);
  // What was decoded is what was new and what was lost: the last token of a reply waits for the
  // next turn.
  const uint64_t said_in_all = static_cast<uint64_t>(kSessions) * kTurns * (kPrompt + kReply);
  EXPECT_EQ(stats.tokens_decoded - stats.tokens_lost + stats.tokens_reused_shared,
            said_in_all - kSessions);
  for (int32_t i = 0; i < kSessions; i += kCheckEvery) {
    const auto [tokens, logits] = Alone(i);
    ASSERT_EQ(tokens, said[static_cast<size_t>(i)]) << "session " << i;
    const auto& session = *sessions[static_cast<size_t>(i)];
    ASSERT_EQ(logits,
              std::vector<float>(session.last_logits().begin(), session.last_logits().end()));
  }
}

}  // namespace
}  // namespace gyrator

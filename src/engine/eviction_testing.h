// What tests of eviction share: sessions of 128 tokens on the shipped model, under every policy and
// mode that a suite is instantiated for.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/engine_testing.h"

namespace gyrator {

struct EvictionCase {
  Overflow overflow;
  EvictMode mode;
};

inline std::string EvictionCaseName(const testing::TestParamInfo<EvictionCase>& info) {
  return std::string(OverflowName(info.param.overflow)) +
         (info.param.mode == EvictMode::kShift ? "_shift" : "_recompute");
}

class EvictionTest : public testing::TestWithParam<EvictionCase> {
 protected:
  static constexpr int32_t kContext = 128;

  static void SetUpTestSuite() { model_ = LoadShipped(ComputeType::kInt8); }
  static void TearDownTestSuite() { model_.reset(); }
  void SetUp() override { engine_ = Make(4); }

  static std::unique_ptr<Engine> Make(int32_t sessions, uint64_t swap_budget = 0,
                                      int32_t batch_rows = 512) {
    EngineOptions options;
    options.batch_rows = batch_rows;
    options.context = kContext;
    options.sessions_max = sessions;
    options.swap_budget = swap_budget;
    options.swap_directory = testing::TempDir();
    options.threads = 1;
    return MakeEngine(model_, options);
  }

  static WindowOptions Windowed() {
    return {.overflow = GetParam().overflow, .mode = GetParam().mode, .sinks = 4, .headroom = 16};
  }

  static std::unique_ptr<Session> New(Engine& engine, uint64_t seed = 7,
                                      const std::string& name_space = {}) {
    SessionOptions options;
    options.sampler.seed = seed;
    options.cache_namespace = name_space;
    options.window = Windowed();
    auto session = engine.NewSession(options);
    EXPECT_TRUE(session.ok()) << session.status().ToString();
    return *std::move(session);
  }

  static Reply Say(Session& session, const std::string& line, int32_t steps = 8) {
    EXPECT_TRUE(session.Append({.role = "user", .content = line, .extras = {}}).ok());
    auto reply = session.Respond(Steps(steps));
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    return reply.ok() ? *std::move(reply) : Reply();
  }

  // So many turns; all replies' tokens.
  static std::vector<TokenId> Talk(Session& session, int turns, int from = 0) {
    std::vector<TokenId> said;
    for (int turn = from; turn < from + turns; ++turn) {
      const Reply reply = Say(session, "My number is " + std::to_string(turn) + ".");
      said.insert(said.end(), reply.tokens.begin(), reply.tokens.end());
    }
    return said;
  }

  // Some turns and a question. Gives the number of the reply's token behind the last that has room.
  static int32_t AskUntilFull(Session& session) {
    Talk(session, 4);
    const std::string line = "My name is Ada, my cat is called Tom, and I like tea. And you?";
    EXPECT_TRUE(session.Append({.role = "user", .content = line, .extras = {}}).ok());
    EXPECT_TRUE(session.Prepare({}).ok());
    return kContext - session.info().cp + 1;
  }

  // A session whose reply was stopped between its first eviction and the pass that follows: by the
  // callback of a neighbour, which keeps step with it, mostly. The engine has room for both.
  static std::unique_ptr<Session> StoppedAtAnEviction(Engine& engine) {
    for (int attempt = 0; attempt < 500; ++attempt) {
      auto session = New(engine, 7, std::to_string(attempt));  // without what those before cached
      const auto neighbour = New(engine, 9);
      const int32_t full = AskUntilFull(*session);
      EXPECT_TRUE(neighbour->Complete(Numbers(4, 3), Steps(0)).ok());
      std::stop_source stop;
      BatchRequest batch[] = {
          {.session = session.get(), .prefix = {}, .options = Steps(-1)},
          {.session = neighbour.get(), .prefix = Numbers(4, 3), .options = Steps(full)}};
      batch[0].options.cancel = stop.get_token();
      batch[1].options.on_logits = [&stop, left = full](auto) mutable {
        if (--left == 0) stop.request_stop();
      };
      const auto replies = engine.Run(batch);
      EXPECT_TRUE(replies[0].ok() && replies[1].ok());
      const bool in_time = std::ssize(replies[0]->tokens) == full && session->info().evicted > 0;
      if (in_time || HasFailure()) return session;
    }
    ADD_FAILURE() << "of 500 replies none was stopped at its eviction";
    return New(engine);
  }

  // The session of a prompt that had to be evicted from, stopped before it had decoded what stays
  // in front of the gap.
  static std::unique_ptr<Session> StoppedBeforeItsGap(Engine& engine) {
    std::string system = "Be kind.";
    for (int i = 0; i < 5; ++i) system += " Answer in one short sentence.";
    std::vector<Message> history = {{.role = "system", .content = system, .extras = {}}};
    for (int i = 0; i < 40; ++i) {
      history.push_back({.role = "user", .content = "Line " + std::to_string(i), .extras = {}});
      history.push_back({.role = "assistant", .content = "Yes.", .extras = {}});
    }
    history.push_back({.role = "user", .content = "What was the last line?", .extras = {}});
    const auto stays = std::ssize(model_->text()->Encode(system, false));
    for (int attempt = 0; attempt < 500; ++attempt) {
      auto session = New(engine);
      EXPECT_TRUE(session->SetTranscript(history).ok());
      std::stop_source stop;
      GenerateOptions options = Steps(4);
      options.cancel = stop.get_token();
      options.on_prompt_logits = [&](auto) { stop.request_stop(); };
      EXPECT_TRUE(session->Respond(options).ok());
      const SessionInfo info = session->info();
      if ((info.evicted > 0 && info.cp < stays) || HasFailure()) return session;
    }
    ADD_FAILURE() << "of 500 prompts none was stopped in front of its gap";
    return New(engine);
  }

  inline static std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace gyrator

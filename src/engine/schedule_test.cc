// Sessions of a busy, crowded pool against the same scripts alone: forks, edits, shared prefixes,
// batch mates that come and go, parking to the swap file and without one, cancellation, eviction.
// Equal tokens, equal bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

constexpr int kSchedules = 20;  // of each model and compute type
constexpr int kRounds = 25;
constexpr int32_t kContext = 128;

// One turn: what was said is cut, then a line is added, then a reply of some tokens.
struct Turn {
  int32_t cut = 0;
  std::vector<TokenId> line;
  int32_t reply = 0;
  int32_t cancel_at = -1;  // the step after which the request is cancelled; -1: none
};

struct Actor {
  std::unique_ptr<Session> session;
  uint64_t seed = 0;
  WindowOptions window;
  std::vector<Turn> script;
  std::vector<TokenId> said;
};

class Schedule : public testing::TestWithParam<std::tuple<const char*, ComputeType>> {
 protected:
  void SetUp() override { model_ = LoadGolden(std::get<0>(GetParam()), std::get<1>(GetParam())); }

  std::unique_ptr<Engine> Make(int32_t sessions, uint64_t swap_budget, int32_t batch_rows) {
    EngineOptions options;
    options.context = kContext;
    options.sessions_max = sessions;
    options.swap_budget = swap_budget;
    options.swap_directory = testing::TempDir();
    options.batch_rows = batch_rows;
    options.threads = 1;
    return MakeEngine(model_, options);
  }

  static Actor NewActor(Engine& engine, uint64_t seed, const WindowOptions& window) {
    Actor actor{.session = MakeSession(engine, seed),
                .seed = seed,
                .window = window,
                .script = {},
                .said = {}};
    EXPECT_TRUE(actor.session->SetWindow(window).ok());
    return actor;
  }

  // Half of the sessions evict. What has moved cannot be parked without a swap file.
  WindowOptions AnyWindow(const Engine& engine) {
    const Overflow policies[] = {Overflow::kFifo, Overflow::kSink, Overflow::kScore};
    const bool moves = engine.options().swap_budget > 1 << 20 && Draw(3) != 0;
    return {.overflow = Draw(2) == 0 ? Overflow::kError : policies[Draw(3)],
            .mode = moves ? EvictMode::kShift : EvictMode::kRecompute,
            .sinks = Draw(6),
            .headroom = Draw(20)};
  }

  int32_t Draw(int32_t below) {
    return static_cast<int32_t>(random_() % static_cast<uint32_t>(below));
  }

  // Half of all conversations begin with one of two lines that others begin with too.
  Turn AnyTurn(const Actor& actor) {
    Turn turn;
    const auto length = static_cast<int32_t>(actor.said.size());
    const bool evicts = actor.window.overflow != Overflow::kError;
    const int32_t enough = evicts ? 500 : 90;
    turn.cut = length > enough ? Draw(60) : Draw(evicts ? 8 : 3) == 0 ? Draw(length + 1) : length;
    const int32_t first = turn.cut == 0 ? Draw(2) * 50 : Draw(250);
    const int32_t long_line = evicts && Draw(10) == 0 ? 150 : 0;
    const int32_t count = turn.cut == 0 ? 35 + Draw(8) : 1 + Draw(20) + long_line;
    for (int32_t i = 0; i < count; ++i) {
      turn.line.push_back(i < 33 ? (first + i * 7) % 250 : Draw(250));
    }
    turn.reply = Draw(8);
    if (turn.reply > 2 && Draw(4) == 0) turn.cancel_at = 1 + Draw(turn.reply - 2);
    return turn;
  }

  // Begins a turn: the request that says it.
  static BatchRequest Say(Actor* actor, const Turn& turn) {
    actor->script.push_back(turn);
    actor->said.resize(static_cast<size_t>(turn.cut));
    actor->said.insert(actor->said.end(), turn.line.begin(), turn.line.end());
    BatchRequest request{
        .session = actor->session.get(), .prefix = actor->said, .options = Steps(turn.reply)};
    if (turn.cancel_at > 0) {
      const auto stop = std::make_shared<std::stop_source>();
      request.options.cancel = stop->get_token();
      request.options.on_logits = [stop, left = turn.cancel_at](auto) mutable {
        if (--left == 0) stop->request_stop();
      };
    }
    return request;
  }

  static void Hear(Actor* actor, const Result<Reply>& reply) {
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    actor->said.insert(actor->said.end(), reply->tokens.begin(), reply->tokens.end());
  }

  void ExpectAsAlone(const Actor& actor) {
    const auto engine = Make(1, 0, 512);
    Actor alone = NewActor(*engine, actor.seed, actor.window);
    for (const Turn& turn : actor.script) {
      BatchRequest request = Say(&alone, turn);
      Hear(&alone, engine->Run({&request, 1})[0]);
    }
    ASSERT_EQ(alone.said, actor.said);
    ASSERT_TRUE(std::ranges::equal(alone.session->last_logits(), actor.session->last_logits()));
  }

  void Round(Engine& engine, std::vector<Actor>* actors) {
    const int32_t count = static_cast<int32_t>(actors->size());
    const int32_t action = Draw(8);
    if (count == 0 || (action == 0 && count < 7)) {
      actors->push_back(NewActor(engine, random_(), AnyWindow(engine)));
    } else if (action == 1 && count < 7) {
      const Actor& parent = (*actors)[static_cast<size_t>(Draw(count))];
      auto fork = parent.session->Fork({});
      ASSERT_TRUE(fork.ok()) << fork.status().ToString();
      actors->push_back({*std::move(fork), parent.seed, parent.window, parent.script, parent.said});
    } else if (action == 2 && count > 1) {
      actors->erase(actors->begin() + Draw(count));
    }
    std::vector<size_t> speak;
    for (size_t i = 0; i < actors->size(); ++i) {
      if (Draw(3) != 0) speak.push_back(i);
    }
    std::vector<BatchRequest> batch;
    for (size_t i : speak) batch.push_back(Say(&(*actors)[i], AnyTurn((*actors)[i])));
    const auto replies = engine.Run(batch);
    for (size_t i = 0; i < speak.size(); ++i) Hear(&(*actors)[speak[i]], replies[i]);
  }

  std::shared_ptr<const Model> model_;
  std::mt19937 random_;
};

TEST_P(Schedule, EverySessionIsAsAlone) {
  uint64_t parked = 0, shared = 0, copied = 0, evicted = 0;
  for (int schedule = 0; schedule < kSchedules; ++schedule) {
    const uint32_t seed = std::random_device()();
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_.seed(seed);
    const uint64_t swap_budgets[] = {0, 30000, 1 << 22};
    const auto engine = Make(1 + Draw(3), swap_budgets[Draw(3)], 8 + Draw(60));
    std::vector<Actor> actors;
    for (int round = 0; round < kRounds && !HasFailure(); ++round) Round(*engine, &actors);
    for (const Actor& actor : actors) {
      if (!actor.script.empty() && !HasFatalFailure()) ExpectAsAlone(actor);
    }
    if (HasFatalFailure()) return;
    parked += engine->stats().sessions_parked;
    shared += engine->stats().tokens_reused_shared;
    copied += engine->stats().blocks_copied;
    evicted += engine->stats().tokens_evicted;
  }
  // The schedules did what they are for.
  EXPECT_GT(parked, 0u);
  EXPECT_GT(shared, 0u);
  EXPECT_GT(copied, 0u);
  EXPECT_GT(evicted, 0u);
}

INSTANTIATE_TEST_SUITE_P(Models, Schedule,
                         testing::Combine(testing::Values("llama3", "qwen2", "qwen3"),
                                          testing::Values(ComputeType::kF32, ComputeType::kBF16,
                                                          ComputeType::kInt8)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" +
                                  std::string(ComputeTypeName(std::get<1>(test.param)));
                         });

}  // namespace
}  // namespace gyrator

// More sessions than the pool holds: requests wait for prefixes and for room, sessions are parked
// and come back, and every one has the bits of a run alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <thread>

#include "base/fs.h"
#include "engine/engine_testing.h"
#include "snapshot/folder_writer.h"

namespace gyrator {
namespace {

struct Arithmetic {
  ComputeType compute;
  std::optional<DType> kv_dtype;
};

class CrowdedTest : public testing::TestWithParam<Arithmetic> {
 protected:
  void SetUp() override { model_ = LoadGolden("llama3", GetParam().compute); }

  // A pool of `sessions` full sessions of 128 tokens.
  std::unique_ptr<Engine> Make(int32_t sessions, uint64_t swap_budget = 0) {
    EngineOptions options;
    options.context = 128;
    options.sessions_max = sessions;
    options.swap_budget = swap_budget;
    options.swap_directory = testing::TempDir();
    options.batch_rows = 24;
    options.kv_dtype = GetParam().kv_dtype;
    options.threads = 1;
    return MakeEngine(model_, options);
  }

  static std::unique_ptr<Session> New(Engine& engine, uint64_t seed) {
    return MakeSession(engine, seed);
  }

  // Tokens that a session alone in a fresh engine draws.
  std::vector<TokenId> Alone(const std::vector<TokenId>& prompt, int32_t steps, uint64_t seed) {
    const auto engine = Make(1);
    const auto reply = New(*engine, seed)->Complete(prompt, Steps(steps));
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    return reply->tokens;
  }

  std::shared_ptr<const Model> model_;
};

// The third wants more room than there is beside the first two; the fourth, which would fit, does
// not pass it.
TEST_P(CrowdedTest, WhoWaitsForRoomIsNotPassed) {
  const auto engine = Make(2);
  ASSERT_EQ(16, engine->stats().blocks_total);
  std::vector<std::unique_ptr<Session>> sessions;
  std::string said;  // whose token it is, one letter each
  std::vector<BatchRequest> batch;
  const auto ask = [&](char who, const std::vector<TokenId>& prompt, int32_t steps) {
    sessions.push_back(New(*engine, 1));
    batch.push_back({.session = sessions.back().get(), .prefix = prompt, .options = Steps(steps)});
    batch.back().options.on_logits = [&said, who](std::span<const float>) { said += who; };
  };
  ask('a', Numbers(100, 3), 20);  // 8 blocks with its reply
  ask('b', Numbers(40, 90), 20);  // 4
  ask('c', Numbers(110, 50), 4);  // 8: waits for one of them
  ask('d', Numbers(10, 120), 4);  // 1
  const auto replies = engine->Run(batch);
  for (const auto& reply : replies) ASSERT_TRUE(reply.ok()) << reply.status().ToString();
  const std::string before = said.substr(0, said.find('d'));
  EXPECT_TRUE(std::ranges::count(before, 'a') == 20 || std::ranges::count(before, 'b') == 20)
      << said;
}

TEST_P(CrowdedTest, APrefixThatIsBeingComputedIsAwaited) {
  const auto engine = Make(8);
  const auto system = Numbers(80, 3);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  for (TokenId i = 0; i < 8; ++i) {
    sessions.push_back(New(*engine, 5));
    batch.push_back({.session = sessions.back().get(),
                     .prefix = Join(system, Numbers(5, 100 + i)),
                     .options = Steps(3)});
  }
  const auto prompts = batch;
  const auto replies = engine->Run(batch);
  int32_t decoded = 0;
  for (size_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    decoded += replies[i]->tokens_decoded;
    EXPECT_EQ(Alone(prompts[i].prefix, 3, 5), replies[i]->tokens);
  }
  EXPECT_EQ(80 + 8 * 5, decoded);  // the system prompt once
}

TEST_P(CrowdedTest, ABatchThatDoesNotFitWaitsAndGivesWay) {
  for (const uint64_t swap_budget : {uint64_t{0}, uint64_t{1} << 20}) {
    const auto engine = Make(2, swap_budget);
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<BatchRequest> batch;
    std::vector<TokenId> finished;
    int steps[6] = {};
    for (TokenId i = 0; i < 6; ++i) {
      sessions.push_back(New(*engine, static_cast<uint64_t>(i)));
      // Short prompts enter together; their replies outgrow the pool.
      batch.push_back({.session = sessions.back().get(),
                       .prefix = Numbers(20 + i, 10 * i),
                       .options = Steps(90)});
      batch.back().options.on_logits = [&finished, &steps, i](std::span<const float>) {
        if (++steps[i] == 90) finished.push_back(i);
      };
    }
    const auto prompts = batch;
    const auto replies = engine->Run(batch);
    for (size_t i = 0; i < 6; ++i) {
      ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
      EXPECT_EQ(Alone(prompts[i].prefix, 90, i), replies[i]->tokens) << i;
    }
    EXPECT_TRUE(std::is_sorted(finished.begin(), finished.end()));  // who came first goes on
  }
}

TEST_P(CrowdedTest, IdleSessionsMakeRoomAndGoOn) {
  for (const uint64_t swap_budget : {uint64_t{0}, uint64_t{20000}, uint64_t{1} << 22}) {
    const auto engine = Make(1, swap_budget);
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<std::vector<TokenId>> said;
    for (TokenId i = 0; i < 5; ++i) {
      sessions.push_back(New(*engine, static_cast<uint64_t>(i)));
      said.push_back(Numbers(30 + i, 9 * i));
    }
    for (int turn = 0; turn < 3; ++turn) {
      for (size_t i = 0; i < sessions.size(); ++i) {
        said[i] = Join(said[i], Numbers(4, 50 + turn));
        const auto reply = sessions[i]->Complete(said[i], Steps(6));
        ASSERT_TRUE(reply.ok()) << reply.status().ToString();
        said[i] = Join(said[i], reply->tokens);
      }
    }
    for (size_t i = 0; i < sessions.size(); ++i) {
      EXPECT_EQ(said[i].size(), 30 + i + 3 * 10);
      EXPECT_EQ(static_cast<int32_t>(said[i].size()) - 1, sessions[i]->info().cp);
    }
    // Saved although it is parked, and equal to what a session alone has.
    const auto prompt = said[0];
    const auto reply = sessions[0]->Complete(prompt, Steps(8));
    ASSERT_TRUE(reply.ok());
    ASSERT_TRUE(sessions[1]->Complete(said[1], Steps(1)).ok());
    const std::string root = testing::TempDir() + "crowded_test_saved";
    const auto saved = sessions[0]->Save({.root = root, .name = {}});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    const auto fresh = Make(1);
    const auto restored = fresh->LoadSession(saved->folder, nullptr);
    ASSERT_TRUE(restored.ok()) << restored.status().ToString();
    EXPECT_EQ(sessions[0]->tokens(), (*restored)->tokens());
    const auto alone = Make(1);
    const auto other = New(*alone, 0);
    ASSERT_TRUE(other->Complete(sessions[0]->tokens(), Steps(0)).ok());
    EXPECT_TRUE(std::ranges::equal(other->last_logits(), sessions[0]->last_logits()));
    std::filesystem::remove_all(root);
  }
}

TEST_P(CrowdedTest, AForkOfAParkedSessionStandsWhereItStood) {
  const auto engine = Make(1, 1 << 20);
  const auto first = New(*engine, 1), second = New(*engine, 2);
  ASSERT_TRUE(first->Complete(Numbers(100, 3), Steps(1)).ok());
  ASSERT_TRUE(second->Complete(Numbers(100, 9), Steps(1)).ok());
  EXPECT_EQ(Numbers(100, 3), first->tokens());
  const auto fork = first->Fork({});
  EXPECT_EQ(Numbers(100, 3), first->tokens());
  ASSERT_TRUE(fork.ok()) << fork.status().ToString();
  EXPECT_EQ(Numbers(100, 3), (*fork)->tokens());
  EXPECT_TRUE(std::ranges::equal(first->last_logits(), (*fork)->last_logits()));
}

// While it is saved, a session keeps its blocks. Whoever saves waits for the lock of the folder,
// and the neighbours for the blocks: one that enters, and one that runs and grows.
TEST_P(CrowdedTest, WhoFindsNoRoomForASaveWaitsForItsEnd) {
  const std::string root = testing::TempDir() + "crowded_test_held";
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root);
  for (const int32_t prompt : {100, 10}) {
    const auto engine = Make(1);
    const auto saved = New(*engine, 1), other = New(*engine, 2);
    ASSERT_TRUE(saved->Complete(Numbers(100, 3), Steps(1)).ok());
    auto lock = PosixFileSystem().Lock(JoinPath(root, kRootLockFile), LockMode::kExclusive);
    ASSERT_TRUE(lock.ok()) << lock.status().ToString();
    std::thread saver([&] { EXPECT_TRUE(saved->Save({.root = root, .name = {}}).ok()); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::thread client([&] {
      const auto reply = other->Complete(Numbers(prompt, 9), Steps(20));
      ASSERT_TRUE(reply.ok()) << reply.status().ToString();
      EXPECT_EQ(Alone(Numbers(prompt, 9), 20, 2), reply->tokens);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    lock = Status::Cancelled("the lock is given back");
    saver.join();
    client.join();
    EXPECT_EQ(0u, engine->stats().requests_failed);
  }
  std::filesystem::remove_all(root);
}

// What moved cannot be computed again, so without a swap file it stays where it is, and waits
// there.
TEST_P(CrowdedTest, WhatCannotBeParkedWaitsForItsNextBlock) {
  const auto quiet = Make(1);
  EngineOptions options = quiet->options();
  options.kv_budget = 12 * quiet->stats().block_bytes;  // of 16 positions
  const auto busy = MakeEngine(model_, options);
  const auto alone = New(*quiet, 1), mine = New(*busy, 1), other = New(*busy, 2);
  std::vector<TokenId> prompt;
  for (Session* session : {alone.get(), mine.get()}) {
    ASSERT_TRUE(session->SetWindow({.overflow = Overflow::kFifo, .headroom = 16}).ok());
    ASSERT_TRUE(session->Complete(Numbers(150, 3), Steps(0)).ok());
    ASSERT_TRUE(session->Complete(Join(session->all_tokens(), Numbers(1, 60)), Steps(9)).ok());
    const auto all = session->all_tokens();
    prompt = Join(all, Numbers(108 - session->info().cp, 60));
    ASSERT_TRUE(session->Complete(prompt, Steps(0)).ok());
    ASSERT_EQ(108, session->info().cp);  // seven blocks; the eighth is due after four tokens
  }
  BatchRequest batch[] = {
      {.session = other.get(), .prefix = Numbers(66, 9), .options = Steps(12)},  // five
      {.session = mine.get(), .prefix = prompt, .options = Steps(10)}};
  const auto replies = busy->Run(batch);
  ASSERT_TRUE(replies[0].ok()) << replies[0].status().ToString();
  ASSERT_TRUE(replies[1].ok()) << replies[1].status().ToString();
  EXPECT_EQ(Alone(Numbers(66, 9), 12, 2), replies[0]->tokens);
  EXPECT_EQ(alone->Complete(prompt, Steps(10))->tokens, replies[1]->tokens);
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

// It evicts, then waits for blocks to decode the rest again.
TEST_P(CrowdedTest, WhoMakesRoomEvictsOnceThoughItWaits) {
  const auto quiet = Make(1), busy = Make(1);
  const auto alone = New(*quiet, 1), mine = New(*busy, 1), other = New(*busy, 2);
  for (Session* session : {alone.get(), mine.get()}) {
    const WindowOptions window = {
        .overflow = Overflow::kFifo, .mode = EvictMode::kRecompute, .headroom = 32};
    ASSERT_TRUE(session->SetWindow(window).ok());
    ASSERT_TRUE(session->Complete(Numbers(90, 3), Steps(35)).ok());  // no headroom is left
  }
  std::thread maker;
  Result<int32_t> freed = 0;
  GenerateOptions options = Steps(2);
  options.on_logits = [&](auto) {
    if (maker.joinable()) return;
    maker = std::thread([&] { freed = mine->MakeRoom(5); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  ASSERT_TRUE(other->Complete(Numbers(100, 9), options).ok());
  maker.join();
  const auto expected = alone->MakeRoom(5);
  ASSERT_TRUE(freed.ok() && expected.ok());
  EXPECT_EQ(*expected, *freed);
  EXPECT_EQ(alone->tokens(), mine->tokens());
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

// What the cache has kept of it is as long as what an eviction leaves, token for token: its last
// row is another all the same.
TEST_P(CrowdedTest, LogitsOfWhatParkingLostAreForgotten) {
  const auto quiet = Make(1), busy = Make(1);
  const auto alone = New(*quiet, 1), mine = New(*busy, 1), other = New(*busy, 2);
  std::vector<TokenId> tokens;
  for (TokenId i = 0; i < 128; ++i) tokens.push_back(i % 16);
  for (Session* session : {alone.get(), mine.get()}) {
    const WindowOptions window = {.overflow = Overflow::kFifo, .mode = EvictMode::kRecompute};
    ASSERT_TRUE(session->Complete(tokens, Steps(0)).ok());
    ASSERT_TRUE(session->SetWindow(window).ok());
  }
  const auto begun = std::vector<TokenId>(tokens.begin(), tokens.begin() + 96);
  ASSERT_TRUE(other->Complete(Join(begun, Numbers(32, 90)), Steps(0)).ok());
  ASSERT_EQ(1, busy->stats().parked);
  for (Session* session : {alone.get(), mine.get()}) {
    const auto freed = session->MakeRoom(32);
    ASSERT_TRUE(freed.ok()) << freed.status().ToString();
    EXPECT_EQ(begun, session->tokens());
  }
  EXPECT_TRUE(std::ranges::equal(alone->last_logits(), mine->last_logits()));
}

TEST_P(CrowdedTest, OneThatDoesNotFitAloneIsRefusedByName) {
  EngineOptions options;
  options.context = 128;
  options.kv_budget = 1;  // one block
  options.threads = 1;
  const auto engine = *Engine::Create(model_, options);
  const auto session = New(*engine, 1);
  const Status status = session->Complete(Numbers(40, 3), Steps(1)).status();
  EXPECT_EQ(Code::kExhausted, status.code());
  EXPECT_EQ("kv_pool", status.name());
  EXPECT_TRUE(session->Complete(Numbers(10, 3), Steps(1)).ok());
  const Status grown = session->Complete(Numbers(10, 3), Steps(20)).status();
  EXPECT_EQ("kv_pool", grown.name());
  EXPECT_EQ(16, session->info().cp);
}

TEST_P(CrowdedTest, OneThatNeverFitsFailsAloneAmongOthers) {
  const uint64_t block = Make(1)->stats().block_bytes;
  EngineOptions options;
  options.context = 128;
  options.kv_budget = 6 * block;
  options.kv_dtype = GetParam().kv_dtype;
  options.threads = 1;
  const auto engine = MakeEngine(model_, options);
  ASSERT_EQ(6, engine->stats().blocks_total);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> batch;
  const std::vector<std::pair<int32_t, int32_t>> sizes = {
      {20, 30}, {110, 1}, {30, 20}, {40, 80}, {25, 40}};  // prompt, reply
  for (size_t i = 0; i < sizes.size(); ++i) {
    sessions.push_back(New(*engine, i));
    batch.push_back({.session = sessions.back().get(),
                     .prefix = Numbers(sizes[i].first, static_cast<TokenId>(10 * i)),
                     .options = Steps(sizes[i].second)});
  }
  const auto prompts = batch;
  const auto replies = engine->Run(batch);
  for (const size_t i : {0, 2, 4}) {
    ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    EXPECT_EQ(Alone(prompts[i].prefix, sizes[i].second, i), replies[i]->tokens);
  }
  for (const size_t i : {1, 3}) {  // a prompt that never fits, and a reply
    EXPECT_EQ("kv_pool", replies[i].status().name()) << replies[i].status().ToString();
    EXPECT_TRUE(sessions[i]->Complete(Numbers(20, 3), Steps(2)).ok());
  }
  EXPECT_EQ(2u, engine->stats().requests_failed);
}

TEST_P(CrowdedTest, ASessionIsInABatchOnce) {
  const auto engine = Make(2);
  const auto session = New(*engine, 1);
  std::vector<BatchRequest> batch(
      2, {.session = session.get(), .prefix = Numbers(10, 3), .options = Steps(2)});
  const auto replies = engine->Run(batch);
  EXPECT_TRUE(replies[0].ok());
  EXPECT_EQ(Code::kInvalidArgument, replies[1].status().code());
  EXPECT_EQ(Join(Numbers(10, 3), {replies[0]->tokens[0]}), session->tokens());
}

INSTANTIATE_TEST_SUITE_P(Computes, CrowdedTest,
                         testing::Values(Arithmetic{ComputeType::kF32, {}},
                                         Arithmetic{ComputeType::kBF16, {}},
                                         Arithmetic{ComputeType::kInt8, {}},
                                         Arithmetic{ComputeType::kInt8, DType::kI8}),
                         [](const auto& test) {
                           return std::string(ComputeTypeName(test.param.compute)) +
                                  (test.param.kv_dtype ? "_kv_int8" : "");
                         });

}  // namespace
}  // namespace gyrator

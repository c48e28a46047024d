// Idle talks that cannot be computed again never keep a request out: they are spilled to memory,
// and go on to the bit.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/context_manager_testing.h"

namespace gyrator {
namespace {

constexpr uint64_t kBlock = 40960;  // bytes of one of the shipped model under int8

class SpillTest : public ContextManagerTest {
 protected:
  // A pool of so many blocks; sessions of 128 tokens, 8 blocks.
  void StartPool(uint64_t blocks, Overflow policy, uint64_t spill_budget = 0) {
    manager_.reset();
    engine_ = MakeEngine(
        model_,
        {.context = 128, .kv_budget = blocks * kBlock, .spill_budget = spill_budget, .threads = 1});
    ASSERT_EQ(kBlock, engine_->stats().block_bytes);
    manager_ = NewManager({.headroom = 32, .eviction = policy});
  }
  static std::string Line(int i) { return "Line " + std::to_string(i) + " of a long story."; }

  static WindowOptions Windowed(Overflow policy) { return {.overflow = policy, .headroom = 32}; }
  // A session behind an eviction, which has said something.
  static std::unique_ptr<Session> Old(Engine& engine, uint64_t seed) {
    SessionOptions options;
    options.sampler.seed = seed;
    options.window = Windowed(Overflow::kFifo);
    auto session = *engine.NewSession(options);
    for (int i = 0; i < 9; ++i) Say(*session, i + 10 * static_cast<int>(seed));
    EXPECT_GT(session->info().evicted, 0);
    return session;
  }
  static std::vector<TokenId> Say(Session& session, int i) {
    EXPECT_TRUE(session.Append({.role = "user", .content = Line(i), .extras = {}}).ok());
    const auto reply = session.Respond(Steps(6));
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    return reply.ok() ? reply->tokens : std::vector<TokenId>();
  }
};

TEST_F(SpillTest, FivePeopleTalkInAPoolForTwoAndAVisitorComes) {
  for (const Overflow policy :
       {Overflow::kMessage, Overflow::kFifo, Overflow::kSink, Overflow::kScore}) {
    StartPool(20, policy);
    const auto roomy = MakeEngine(model_, {.context = 128, .sessions_max = 6, .threads = 1});
    const auto alone = *ContextManager::New(
        roomy.get(), {.headroom = 32, .eviction = policy, .sampler = sampler_});
    std::vector<Conversation> people(5), doubles(5);
    for (int turn = 0; turn < 20; ++turn) {
      // One after the other at first, so that all idle but one; then by turns.
      const size_t first = turn < 10 ? 0 : static_cast<size_t>(turn) % 5;
      for (size_t p = 0; p < people.size(); ++p) {
        const size_t who = (p * 2 + first) % 5;
        ASSERT_TRUE(people[who].AddUser(Line(turn)).ok() && doubles[who].AddUser(Line(turn)).ok());
        const Reply reply = MustRespond(people[who], 6);
        EXPECT_EQ(alone->Respond(doubles[who], Steps(6))->tokens, reply.tokens) << turn << who;
        ASSERT_TRUE(people[who].AddAssistant(reply.text).ok());
        ASSERT_TRUE(doubles[who].AddAssistant(reply.text).ok());
      }
    }
    const EngineStats stats = engine_->stats();
    EXPECT_GT(stats.blocks_spilled, 0u);
    EXPECT_GT(stats.blocks_unspilled, 0u);
    EXPECT_LE(stats.spill_bytes, 20 * kBlock);
    EXPECT_EQ(20 * kBlock, stats.spill_bytes_max);
    EXPECT_EQ(0u, stats.requests_failed);
    Conversation late = Saying("Hello.");
    MustRespond(late, 4);
    people.clear();
    EXPECT_EQ(0u, engine_->stats().spill_bytes);
  }
}

TEST_F(SpillTest, LoadedContextsMakeRoomAndGoOn) {
  const std::string root = testing::TempDir() + "spill" + std::to_string(::getpid());
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root);
  StartPool(8, Overflow::kError, 40 * kBlock);
  std::vector<std::string> folders;
  std::vector<std::vector<TokenId>> next;
  for (int i = 0; i < 5; ++i) {
    const auto session = MakeSession(*engine_, static_cast<uint64_t>(i));
    for (int turn = 0; turn < 4; ++turn) Say(*session, 10 * i + turn);
    const auto saved = session->Save({.root = root});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    folders.push_back(saved->folder);
    next.push_back(Say(*session, 5));
  }
  std::vector<std::unique_ptr<Session>> loaded;
  for (const std::string& folder : folders) {
    auto session = engine_->LoadSession(folder, nullptr);
    ASSERT_TRUE(session.ok()) << session.status().ToString();
    loaded.push_back(*std::move(session));
  }
  for (size_t i = 0; i < loaded.size(); ++i) EXPECT_EQ(next[i], Say(*loaded[i], 5)) << i;
  EXPECT_GT(engine_->stats().blocks_spilled, 0u);
  std::filesystem::remove_all(root);
}

TEST_F(SpillTest, RequestsTogetherGiveWayAndAreEachAsAlone) {
  const auto roomy = MakeEngine(model_, {.context = 128, .sessions_max = 6, .threads = 1});
  StartPool(18, Overflow::kFifo);
  std::vector<std::unique_ptr<Session>> crowd, alone;
  std::vector<BatchRequest> batch;
  std::vector<std::vector<TokenId>> expected;
  for (uint64_t i = 0; i < 4; ++i) {
    crowd.push_back(Old(*engine_, i));
    alone.push_back(Old(*roomy, i));
    for (Session* session : {crowd.back().get(), alone.back().get()}) {
      ASSERT_TRUE(session->Append({.role = "user", .content = Line(3), .extras = {}}).ok());
    }
    expected.push_back(alone.back()->Respond(Steps(30))->tokens);
    batch.push_back({.session = crowd.back().get(), .options = Steps(30)});
  }
  const auto replies = engine_->Run(batch);
  for (size_t i = 0; i < replies.size(); ++i) {
    ASSERT_TRUE(replies[i].ok()) << replies[i].status().ToString();
    EXPECT_EQ(expected[i], replies[i]->tokens) << i;
  }
}

TEST_F(SpillTest, AForkAndASaveOfASpilledSessionAreItself) {
  const std::string root = testing::TempDir() + "spilled" + std::to_string(::getpid());
  std::filesystem::remove_all(root);
  std::filesystem::create_directories(root);
  StartPool(11, Overflow::kFifo, 60 * kBlock);
  const auto session = Old(*engine_, 1);
  const auto other = Old(*engine_, 2);  // takes its room
  EXPECT_GT(engine_->stats().spill_bytes, 0u);
  const auto fork = *session->Fork({});
  const auto saved = session->Save({.root = root});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto tokens = Say(*session, 3);
  EXPECT_EQ(tokens, Say(*fork, 3));
  auto loaded = engine_->LoadSession(saved->folder, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  ASSERT_TRUE((*loaded)->SetWindow(Windowed(Overflow::kFifo)).ok());
  EXPECT_EQ(tokens, Say(**loaded, 3));
  std::filesystem::remove_all(root);
}

// Neither can be put aside for the other, nor be computed again: who finds no room is refused, and
// goes on when the other is closed.
TEST_F(SpillTest, WithoutSpillMemoryTwoThatGrowAreRefusedAndKeepWhatTheyHave) {
  for (const uint64_t blocks : {12, 13, 14}) {
    SCOPED_TRACE(blocks);
    StartPool(blocks, Overflow::kFifo, 1);
    std::unique_ptr<Session> talks[] = {Old(*engine_, 1), Old(*engine_, 2)};
    std::vector<BatchRequest> batch;
    for (const auto& session : talks) {
      ASSERT_TRUE(session->SetWindow(Windowed(Overflow::kMessage)).ok());
      ASSERT_TRUE(session->Append({.role = "user", .content = Line(3), .extras = {}}).ok());
      batch.push_back({.session = session.get(), .prefix = {}, .options = Steps(40)});
    }
    for (const auto& reply : engine_->Run(batch)) EXPECT_EQ("kv_pool", reply.status().name());
    talks[0].reset();
    const auto reply = talks[1]->Respond(Steps(40));
    ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    EXPECT_EQ(40u, reply->tokens.size());
  }
}

TEST_F(SpillTest, WithBothFullTheRefusalNamesWhatHelpsAndIt) {
  StartPool(9, Overflow::kFifo, 1);  // less than a block: no spill memory
  {
    const auto session = Old(*engine_, 1), late = MakeSession(*engine_, 3);
    const Status full = late->Complete(Numbers(60, 3), Steps(4)).status();
    EXPECT_EQ("kv_pool", full.name()) << full.ToString();
    for (const char* remedy : {"--kv-budget", "--swap", "spill budget", "close sessions"}) {
      EXPECT_NE(std::string::npos, full.message().find(remedy)) << full.message();
    }
    Say(*session, 3);  // and whoever is there goes on
  }
  StartPool(9, Overflow::kFifo, 8 * kBlock);
  const auto again = Old(*engine_, 1), late = MakeSession(*engine_, 3);
  EXPECT_TRUE(late->Complete(Numbers(60, 3), Steps(4)).ok());
}

}  // namespace
}  // namespace gyrator

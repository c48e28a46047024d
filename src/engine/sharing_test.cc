// Sessions that share: prefixes, forks. Whatever is shared, the bits are those of a session alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "engine/engine_testing.h"

namespace gyrator {
namespace {

struct Said {
  Reply reply;
  std::vector<float> logits;  // of every sampled step
};

class SharingTest : public testing::TestWithParam<ComputeType> {
 protected:
  void SetUp() override {
    model_ = LoadGolden("qwen3", GetParam());
    engine_ = Make(true);
  }

  std::unique_ptr<Engine> Make(bool share) {
    EngineOptions options;
    options.context = 256;
    options.sessions_max = 4;
    options.batch_rows = 32;
    options.threads = 2;
    options.share_prefixes = share;
    return MakeEngine(model_, options);
  }

  std::unique_ptr<Session> New(Engine& engine, std::string name_space = {}) {
    return MakeSession(engine, 11, std::move(name_space));
  }

  static Said Say(Session& session, const std::vector<TokenId>& prompt, int32_t steps = 6) {
    Said said;
    GenerateOptions options = Steps(steps);
    options.on_logits = [&](std::span<const float> row) {
      said.logits.insert(said.logits.end(), row.begin(), row.end());
    };
    auto reply = session.Complete(prompt, options);
    EXPECT_TRUE(reply.ok()) << reply.status().ToString();
    if (reply.ok()) said.reply = *std::move(reply);
    return said;
  }

  // What a session alone in a fresh engine says.
  Said Alone(const std::vector<TokenId>& prompt, int32_t steps = 6) {
    const auto engine = Make(false);
    const auto session = New(*engine);
    return Say(*session, prompt, steps);
  }

  static void ExpectEqual(const Said& a, const Said& b) {
    EXPECT_EQ(a.reply.tokens, b.reply.tokens);
    EXPECT_EQ(a.logits, b.logits);
  }

  std::shared_ptr<const Model> model_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(SharingTest, ASharedPrefixIsComputedOnceAndTheBitsAreThoseOfOneAlone) {
  const auto system = Numbers(101, 3);
  const auto a = Join(system, Numbers(20, 90)), b = Join(system, Numbers(9, 120));
  const auto first = New(*engine_), second = New(*engine_);
  const Said said_a = Say(*first, a);
  EXPECT_EQ(0, said_a.reply.tokens_shared);
  const Said said_b = Say(*second, b);
  EXPECT_EQ(101, said_b.reply.tokens_shared);
  EXPECT_EQ(101, said_b.reply.tokens_reused);
  EXPECT_EQ(9, said_b.reply.tokens_decoded);
  ExpectEqual(Alone(a), said_a);
  ExpectEqual(Alone(b), said_b);
  const EngineStats stats = engine_->stats();
  EXPECT_EQ(2u, stats.requests);
  EXPECT_EQ(101u, stats.tokens_reused_shared);
  EXPECT_EQ(0u, stats.tokens_reused_own);
  EXPECT_EQ(12u, stats.tokens_generated);
  EXPECT_EQ(121u + 9 + 2 * 5, stats.tokens_decoded);  // the last sampled ones are not
  EXPECT_EQ(1u, stats.blocks_copied);                 // position 101 lies within a block
  EXPECT_EQ(stats.blocks_total - stats.blocks_free, stats.blocks_cached);
  const std::string text = PrometheusText(stats);
  EXPECT_NE(text.find("# TYPE gyrator_tokens_reused_shared_total counter\n"
                      "gyrator_tokens_reused_shared_total 101\n"),
            std::string::npos);
  EXPECT_NE(text.find("# TYPE gyrator_kv_blocks gauge\n"), std::string::npos);
}

// The defect that this answers: an exact hit that samples from another session's logits.
TEST_P(SharingTest, AnExactHitHasItsOwnFreshLogits) {
  const auto prompt = Numbers(64, 3);
  const auto first = New(*engine_), between = New(*engine_), second = New(*engine_);
  Say(*first, prompt);
  Say(*between, Numbers(40, 77));
  const Said hit = Say(*second, prompt);
  EXPECT_EQ(63, hit.reply.tokens_shared);
  EXPECT_EQ(1, hit.reply.tokens_decoded);
  ExpectEqual(Alone(prompt), hit);
}

TEST_P(SharingTest, PromptsThatDifferInTheirFirstTokenShareNothing) {
  auto a = Numbers(64, 3), b = a;
  b[0] = 200;
  const auto first = New(*engine_), second = New(*engine_);
  Say(*first, a);
  const Said said = Say(*second, b);
  EXPECT_EQ(0, said.reply.tokens_shared);
  ExpectEqual(Alone(b), said);
}

TEST_P(SharingTest, NamespacesShareNothing) {
  const auto prompt = Numbers(64, 3);
  const auto mine = New(*engine_, "tenant 1"), theirs = New(*engine_, "tenant 2"),
             also_mine = New(*engine_, "tenant 1");
  Say(*mine, prompt);
  EXPECT_EQ(0, Say(*theirs, prompt).reply.tokens_shared);
  EXPECT_EQ(63, Say(*also_mine, prompt).reply.tokens_shared);
}

TEST_P(SharingTest, WhatWasReleasedIsStillShared) {
  const auto prompt = Numbers(64, 3);
  {
    Say(*New(*engine_), prompt);
  }
  const auto later = New(*engine_);
  EXPECT_EQ(63, Say(*later, prompt).reply.tokens_shared);
}

TEST_P(SharingTest, AForkGoesOnAsItsParentDoes) {
  const auto parent = New(*engine_);
  const Said start = Say(*parent, Numbers(50, 3), 3);
  const auto fork = parent->Fork({});
  ASSERT_TRUE(fork.ok()) << fork.status().ToString();
  EXPECT_EQ(parent->tokens(), (*fork)->tokens());
  EXPECT_NE(parent->info().id, (*fork)->info().id);
  EXPECT_TRUE(std::ranges::equal(parent->last_logits(), (*fork)->last_logits()));
  const auto prefix = Join(Numbers(50, 3), start.reply.tokens);
  // The last sampled token is not in the cache yet.
  const Said child = Say(**fork, prefix);
  EXPECT_EQ(1, child.reply.tokens_decoded);
  EXPECT_EQ(0, child.reply.tokens_shared);
  const Said same = Say(*parent, prefix);
  EXPECT_EQ(1, same.reply.tokens_decoded);
  ExpectEqual(same, child);
}

TEST_P(SharingTest, AForkThatDiffersLeavesItsParentAsItWas) {
  const auto prompt = Numbers(50, 3);
  const auto parent = New(*engine_);
  Say(*parent, prompt, 0);
  const std::vector<float> logits(parent->last_logits().begin(), parent->last_logits().end());
  const auto fork = parent->Fork({});
  ASSERT_TRUE(fork.ok());
  const auto other = Join(Numbers(47, 3), Numbers(30, 99));  // differs within a shared block
  const Said child = Say(**fork, other);
  ExpectEqual(Alone(other), child);
  EXPECT_EQ(prompt, parent->tokens());
  EXPECT_TRUE(std::ranges::equal(logits, parent->last_logits()));
  const Said after = Say(*parent, prompt);
  EXPECT_EQ(0, after.reply.tokens_decoded);
  ExpectEqual(Alone(prompt), after);
}

TEST_P(SharingTest, AForkWithASeedDrawsAnotherStream) {
  const auto prompt = Numbers(50, 3);
  const auto parent = New(*engine_);
  Say(*parent, prompt, 0);
  const auto same = parent->Fork({}), other = parent->Fork({.seed = 12});
  ASSERT_TRUE(same.ok() && other.ok());
  EXPECT_EQ(11u, (*same)->sampler().seed);
  EXPECT_EQ(12u, (*other)->sampler().seed);
  const Said a = Say(*parent, prompt, 20), b = Say(**same, prompt, 20),
             c = Say(**other, prompt, 20);
  ExpectEqual(a, b);
  EXPECT_NE(a.reply.tokens, c.reply.tokens);
}

TEST_P(SharingTest, ForkOfAForkAndTheirParentsMayGoInAnyOrder) {
  const auto prompt = Numbers(40, 3);
  auto parent = New(*engine_);
  Say(*parent, prompt, 2);
  auto child = *parent->Fork({});
  Say(*child, Join(prompt, Numbers(10, 60)), 2);
  parent.reset();
  auto grandchild = *child->Fork({});
  const auto longer = Join(Join(prompt, Numbers(10, 60)), Numbers(5, 30));
  const int32_t held = grandchild->info().cp;
  ASSERT_GT(held, 50);  // the prompt, what was added and a sampled token
  const Said said = Say(*grandchild, longer);
  EXPECT_EQ(50, said.reply.tokens_reused);
  EXPECT_EQ(0, said.reply.tokens_shared);  // they are its own, though its parents made them
  const auto quiet = Make(false);
  const auto straight = New(*quiet);  // its stream of draws stands where that of the forks does
  Say(*straight, prompt, 2);
  Say(*straight, Join(prompt, Numbers(10, 60)), 2);
  ExpectEqual(Say(*straight, longer), said);
  child.reset();
  const auto late = New(*engine_);
  const Said once_more = Say(*late, longer);
  EXPECT_EQ(54, once_more.reply.tokens_shared);
  ExpectEqual(Alone(longer), once_more);
  grandchild.reset();
  ExpectEqual(once_more, Say(*New(*engine_), longer));
}

// A pool of four full sessions: what is only cached goes when room is needed.
TEST_P(SharingTest, CachedPrefixesMakeRoomForWork) {
  for (int i = 0; i < 6; ++i) {
    const auto prompt = Numbers(240, static_cast<TokenId>(10 * i + 1));
    const auto session = New(*engine_);
    ExpectEqual(Alone(prompt, 2), Say(*session, prompt, 2));
  }
}

TEST_P(SharingTest, WithoutTheCacheNothingIsShared) {
  EngineOptions options;
  options.context = 256;
  options.sessions_max = 2;
  options.threads = 1;
  options.use_cache = false;
  const auto engine = *Engine::Create(model_, options);
  const auto prompt = Numbers(40, 3);
  const auto first = New(*engine), second = New(*engine);
  Say(*first, prompt);
  const Said said = Say(*second, prompt);
  EXPECT_EQ(0, said.reply.tokens_reused);
  ExpectEqual(Alone(prompt), said);
}

// K and V of a folder are its session's own: whoever wrote it must not reach other sessions.
TEST_P(SharingTest, WhatWasLoadedIsNotPublished) {
  const auto prompt = Numbers(60, 3);
  const auto saver = New(*engine_);
  Say(*saver, prompt, 1);
  const std::string root = testing::TempDir() + "sharing_test_loaded";
  const auto saved = saver->Save({.root = root, .name = {}});
  ASSERT_TRUE(saved.ok()) << saved.status().ToString();
  const auto engine = Make(true);
  {
    const auto loaded = engine->LoadSession(saved->folder, nullptr);
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    const auto longer = Join(prompt, Numbers(20, 5));
    EXPECT_EQ(60, Say(**loaded, longer).reply.tokens_reused);
    const auto other = New(*engine);
    EXPECT_EQ(0, Say(*other, Numbers(60, 3), 1).reply.tokens_shared);
    // Computed anew from its first token on, it is like any other.
    const auto fresh = Numbers(60, 9);
    Say(**loaded, fresh);
    const auto third = New(*engine);
    EXPECT_EQ(59, Say(*third, fresh).reply.tokens_shared);
  }
  std::filesystem::remove_all(root);
}

TEST_P(SharingTest, SlotsAreATypedLimit) {
  EngineOptions options;
  options.context = 64;
  options.slots = 2;
  options.threads = 1;
  const auto engine = *Engine::Create(model_, options);
  const auto first = New(*engine);
  auto second = New(*engine);
  const Status none = engine->NewSession({}).status();
  EXPECT_EQ(Code::kExhausted, none.code());
  EXPECT_EQ("slots", none.name());
  EXPECT_EQ("slots", first->Fork({}).status().name());
  second.reset();
  EXPECT_TRUE(engine->NewSession({}).ok());
}

INSTANTIATE_TEST_SUITE_P(Computes, SharingTest,
                         testing::Values(ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8),
                         [](const auto& test) { return std::string(ComputeTypeName(test.param)); });

TEST_P(SharingTest, APrefixThatWentToDiskComesBackToTheBit) {
  EngineOptions options;
  options.context = 256;
  options.sessions_max = 1;
  options.threads = 1;
  options.swap_budget = 64 << 20;
  options.swap_directory = testing::TempDir();
  const auto engine = MakeEngine(model_, options);
  const std::vector<TokenId> prompt = Numbers(150, 1);
  Say(*New(*engine), prompt);
  Say(*New(*engine), Numbers(240, 2));  // takes its place
  const EngineStats before = engine->stats();
  EXPECT_GT(before.blocks_cold, 0);
  EXPECT_EQ(before.blocks_cooled, static_cast<uint64_t>(before.blocks_cold));
  EXPECT_EQ(before.swap_bytes, static_cast<uint64_t>(before.blocks_cold) * before.block_bytes);
  const auto session = New(*engine);
  const Said said = Say(*session, prompt);
  ExpectEqual(Alone(prompt), said);
  EXPECT_EQ(149, said.reply.tokens_shared);
  EXPECT_EQ(1, said.reply.tokens_decoded);
  EXPECT_GT(engine->stats().blocks_warmed, 0u);
}

}  // namespace
}  // namespace gyrator

// Sizes that cannot be had are refused with a status that names them; the process goes on.
#include <gtest/gtest.h>
#include <pthread.h>

#include "base/source_path_testing.h"
#include "base/thread_pool.h"
#include "engine/engine_testing.h"

namespace gyrator {
namespace {

class SizesTest : public testing::Test {
 protected:
  Status Create(EngineOptions options) {
    if (options.context == 0) options.context = 64;
    if (options.threads == 0) options.threads = 1;
    return Engine::Create(model_, options).status();
  }
  static Status Load(int threads) {
    return Model::Load(SourcePath("models/gyrator-chat.gguf"), {.compute = ComputeType::kInt8,
                                                                .isa = "auto",
                                                                .threads = threads,
                                                                .digest_cache = {},
                                                                .progress = {}})
        .status();
  }
  std::shared_ptr<const Model> model_ = LoadShipped(ComputeType::kInt8);
};

TEST_F(SizesTest, APoolThatNoMachineHasIsExhausted) {
  constexpr int32_t kMany = INT32_MAX;
  const EngineOptions cases[] = {
      {.sessions_max = kMany},
      // Counted in 32 bits these have no block.
      {.sessions_max = 1 << 30},
      {.context = 256, .sessions_max = 1 << 28},
      {.kv_budget = ~uint64_t{0}},
      {.kv_budget = uint64_t{1} << 62},
      {.kv_budget = uint64_t{1} << 45},  // can be mapped, but not be filled
  };
  for (const EngineOptions& options : cases) {
    const Status status = Create(options);
    EXPECT_EQ(Code::kExhausted, status.code()) << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find("kv pool of ")) << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find("--kv-budget")) << status.ToString();
  }
}

TEST_F(SizesTest, SlotsCostNothingUntilTheyAreUsed) {
  const auto engine = MakeEngine(model_, {.context = 64, .slots = INT32_MAX, .threads = 1});
  EXPECT_EQ(INT32_MAX, engine->stats().slots_total);
  EXPECT_EQ(INT32_MAX, engine->stats().slots_free);
  const auto session = MakeSession(*engine, 1);
  EXPECT_EQ(INT32_MAX - 1, engine->stats().slots_free);
  EXPECT_TRUE(session->Complete(Numbers(20, 3), Steps(2)).ok());
}

TEST_F(SizesTest, BudgetsBeyondAllThereIsAreBounds) {
  for (const uint64_t budget : {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 40}) {
    const auto engine = MakeEngine(model_, {.context = 64,
                                            .swap_budget = budget,
                                            .swap_directory = testing::TempDir(),
                                            .cache_budget = budget,
                                            .threads = 1});
    const auto session = MakeSession(*engine, 1);
    EXPECT_TRUE(session->Complete(Numbers(20, 3), Steps(2)).ok());
  }
}

TEST_F(SizesTest, CountsBelowOneOrBeyondReasonAreInvalid) {
  const EngineOptions cases[] = {
      {.sessions_max = 0},    {.slots = -1},
      {.batch_rows = 0},      {.threads = -1},
      {.threads = INT32_MAX}, {.context = INT32_MAX},
      {.context = -1},        {.threads = kThreadsMax + 1},
  };
  for (const EngineOptions& options : cases) {
    EXPECT_EQ(Code::kInvalidArgument, Create(options).code());
  }
}

// A pass of so many rows has buffers that few systems give; whoever has them may have them.
TEST_F(SizesTest, APassOfAllRowsIsRefusedOrMade) {
  const Status status = Create({.batch_rows = INT32_MAX});
  EXPECT_TRUE(status.ok() || status.code() == Code::kExhausted) << status.ToString();
}

// The system refuses threads while their stacks are larger than the address space.
class NoThreads {
 public:
  NoThreads() {
    EXPECT_EQ(0, ::pthread_getattr_default_np(&before_));
    pthread_attr_t huge;
    EXPECT_EQ(0, ::pthread_attr_init(&huge));
    EXPECT_EQ(0, ::pthread_attr_setstacksize(&huge, size_t{1} << 47));
    EXPECT_EQ(0, ::pthread_setattr_default_np(&huge));
    EXPECT_EQ(0, ::pthread_attr_destroy(&huge));
  }
  ~NoThreads() {
    EXPECT_EQ(0, ::pthread_setattr_default_np(&before_));
    EXPECT_EQ(0, ::pthread_attr_destroy(&before_));
  }

 private:
  pthread_attr_t before_;
};

TEST_F(SizesTest, ThreadsThatTheSystemRefusesAreExhausted) {
  Status engines[2], load, digest;
  const auto model =
      Model::Load(SourcePath("models/gyrator-chat.gguf"),
                  {.compute = {}, .isa = "auto", .threads = 3, .digest_cache = {}, .progress = {}});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  {
    const NoThreads none;
    digest = (*model)->WeightsDigest(true).status();
    engines[0] = Create({.threads = 1});  // its own thread
    engines[1] = Create({.threads = 3});
    load = Load(3);
  }
  for (const Status& status : {engines[0], engines[1], load}) {
    EXPECT_EQ(Code::kExhausted, status.code()) << status.ToString();
    EXPECT_NE(std::string::npos, status.message().find("threads")) << status.ToString();
  }
  EXPECT_EQ(Code::kExhausted, digest.code()) << digest.ToString();
  EXPECT_TRUE(Create({.threads = 3}).ok());
}

TEST_F(SizesTest, AModelIsNotLoadedByMoreThreadsThanAnyMachineHas) {
  for (const int threads : {INT32_MAX, kThreadsMax + 1, -1}) {
    EXPECT_EQ(Code::kInvalidArgument, Load(threads).code());
  }
}

}  // namespace
}  // namespace gyrator

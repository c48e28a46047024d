// How long passes and requests last, by a clock that the test moves.
#include <gtest/gtest.h>

#include <atomic>

#include "engine/engine_impl.h"
#include "engine/engine_testing.h"
#include "engine/request.h"

namespace gyrator {
namespace {

std::atomic<uint64_t> now_ns = 0, step_ns = 0;

// Every look at it takes so long; a pass looks when it begins and when it ends.
uint64_t SteppingClock() { return now_ns += step_ns; }

// The lengths of the passes of a prompt, and what it says then.
struct Read {
  std::vector<int32_t> chunks;
  std::vector<TokenId> reply;
};

Read ReadPrompt(uint64_t pass_ns, int32_t length, int32_t batch_rows) {
  step_ns = pass_ns;
  Read read;
  int32_t at = 0;
  EngineOptions options;
  options.context = 256;
  options.batch_rows = batch_rows;
  options.threads = 1;
  options.progress = [&](std::string_view, uint64_t done, uint64_t) {
    read.chunks.push_back(static_cast<int32_t>(done) - at);
    at = static_cast<int32_t>(done);
  };
  auto model = std::static_pointer_cast<const ModelImpl>(LoadGolden("llama3", ComputeType::kF32));
  auto engine = EngineImpl::Make(std::move(model), options, SteppingClock);
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  const auto session = MakeSession(**engine, 1);
  const auto reply = session->Complete(Numbers(length, 3), Steps(5));
  EXPECT_TRUE(reply.ok()) << reply.status().ToString();
  read.reply = reply->tokens;
  return read;
}

constexpr uint64_t kMs = 1'000'000;

TEST(Passes, AFastMachineReadsAsManyRowsAsItMay) {
  EXPECT_EQ((std::vector<int32_t>{64, 64, 64}), ReadPrompt(kMs, 201, 64).chunks);
  EXPECT_EQ((std::vector<int32_t>{64, 64, 64}), ReadPrompt(400 * kMs, 201, 64).chunks);
}

TEST(Passes, WhereAPassTakesTooLongTheNextHasFewerRows) {
  EXPECT_EQ((std::vector<int32_t>{64, 32, 16, 8, 4, 2, 1}),
            ReadPrompt(800 * kMs, 64 + 32 + 16 + 8 + 4 + 2 + 1 + 1, 64).chunks);
  const auto slow = ReadPrompt(10'000 * kMs, 70, 64).chunks;
  EXPECT_EQ((std::vector<int32_t>{64, 2, 1, 1, 1}), slow);
}

TEST(Passes, TheWordsDoNotDependOnIt) {
  const auto fast = ReadPrompt(kMs, 150, 64);
  for (const uint64_t ms : {500, 900, 3000, 100'000}) {
    const auto slow = ReadPrompt(ms * kMs, 150, 64);
    EXPECT_EQ(fast.reply, slow.reply) << ms;
    EXPECT_NE(slow.chunks, fast.chunks) << ms;
  }
}

// A pool for one of them: the second has room when the first is done.
TEST(Times, WaitingIsNeitherReadingNorSpeaking) {
  step_ns = kMs;
  auto model = std::static_pointer_cast<const ModelImpl>(LoadGolden("llama3", ComputeType::kF32));
  EngineOptions options;
  options.context = 64;
  options.threads = 1;
  options.kv_budget =
      4 * (*EngineImpl::Make(model, options, SteppingClock))->stats().block_bytes;  // 64 positions
  auto engine = EngineImpl::Make(std::move(model), options, SteppingClock);
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  const auto first = MakeSession(**engine, 1), second = MakeSession(**engine, 2);
  const auto prompt = Numbers(40, 3), other = Numbers(40, 5);
  BatchRequest batch[] = {{.session = first.get(), .prefix = prompt, .options = Steps(8)},
                          {.session = second.get(), .prefix = other, .options = Steps(8)}};
  const auto replies = (*engine)->Run(batch);
  ASSERT_TRUE(replies[0].ok() && replies[1].ok());
  const Reply& early = *replies[0];
  const Reply& late = *replies[1];
  EXPECT_LE(early.wait_ms, 5);
  EXPECT_GE(late.wait_ms, early.prompt_ms + early.generate_ms);
  EXPECT_NEAR(early.prompt_ms, late.prompt_ms, 5);
  EXPECT_NEAR(early.generate_ms, late.generate_ms, 5);
}

// Two waits, one before the first token and one behind it.
TEST(Times, AreWhatIsLeftWithoutTheWaits) {
  const GenerateOptions none;
  Request request(nullptr, &none, nullptr);
  request.started_ns = 10 * kMs;
  request.BeginWait(20 * kMs);
  request.EndWait(50 * kMs);
  request.EndWait(60 * kMs);  // it does not wait any more
  request.NoteFirstToken(100 * kMs);
  request.BeginWait(110 * kMs);
  request.EndWait(130 * kMs);
  request.NoteFirstToken(140 * kMs);  // not the first
  request.TellTimes(200 * kMs);
  EXPECT_DOUBLE_EQ(50, request.reply.wait_ms);
  EXPECT_DOUBLE_EQ(60, request.reply.prompt_ms);
  EXPECT_DOUBLE_EQ(80, request.reply.generate_ms);
}

}  // namespace
}  // namespace gyrator

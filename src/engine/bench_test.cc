#include "gyrator/bench.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "engine/engine_testing.h"
#include "engine/request.h"
#include "kv/sequence.h"

namespace gyrator {
namespace {

using ::testing::HasSubstr;

const MachineLimits kLimits = {.cpu = "a machine",
                               .isa = "ref",
                               .threads = 1,
                               .read_gb_s = 10,
                               .f32_gflop_s = 100,
                               .bf16_gflop_s = 100,
                               .int8_gop_s = 100};

EngineOptions OneThread(int32_t context) {
  EngineOptions options;
  options.context = context;
  options.threads = 1;
  return options;
}

TEST(Bench, RepeatsAShortTestUntilItsTimeIsUp) {
  const auto model = LoadGolden("qwen2", ComputeType::kInt8);
  BenchOptions options = {.prefill = {8, 16}, .decode_tokens = 4, .depths = {0, 20}};
  const auto run = [&] { return RunBench(*MakeEngine(model, OneThread(64)), kLimits, options); };
  options.seconds = 0.05;
  const auto rows = run();
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  std::vector<std::string> tests;
  for (const BenchRow& row : *rows) {
    tests.push_back(row.test);
    EXPECT_GT(row.repetitions, 3) << row.test;
    EXPECT_GE(row.repetitions * row.tokens / row.tokens_s_min, options.seconds * 0.99) << row.test;
    EXPECT_GT(row.tokens_s_min, 0) << row.test;
    EXPECT_LE(row.tokens_s_min, row.tokens_s) << row.test;
    EXPECT_LE(row.tokens_s, row.tokens_s_max) << row.test;
  }
  EXPECT_THAT(tests,
              testing::ElementsAre("prefill 8", "prefill 16", "decode at 0", "decode at 20"));
  options.seconds = 0;
  options.repetitions = 2;
  const auto twice = run();
  ASSERT_TRUE(twice.ok()) << twice.status().ToString();
  for (const BenchRow& row : *twice) EXPECT_EQ(2, row.repetitions) << row.test;
}

TEST(Bench, AZeroLeavesATestOut) {
  const auto model = LoadGolden("qwen2", ComputeType::kInt8);
  BenchOptions options = {.prefill = {0}, .decode_tokens = 1, .repetitions = 1, .seconds = 0};
  const auto only = [&] {  // the one test that is left, or why there is none
    const auto rows = RunBench(*MakeEngine(model, OneThread(64)), kLimits, options);
    if (!rows.ok()) return rows.status().message();
    return rows->size() == 1 ? rows->front().test : std::to_string(rows->size()) + " tests";
  };
  EXPECT_EQ("decode at 0", only());
  options.decode_tokens = 0;
  EXPECT_THAT(only(), HasSubstr("a prompt or a token expected"));
  options.prefill = {0, 5};
  EXPECT_EQ("prefill 5", only());
  options.repetitions = 0;
  EXPECT_THAT(only(), HasSubstr("at least one repetition"));
}

TEST(BatchBench, EveryFigureIsHeldAgainstAnother) {
  const auto model = LoadGolden("qwen2", ComputeType::kInt8);
  const BatchBenchOptions options = {.sessions = 3,
                                     .depth = 20,
                                     .decode_tokens = 4,
                                     .prompts = {33, 100},
                                     .prompt_long = 400,
                                     .repetitions = 2};
  EngineOptions sizes = OneThread(0);
  sizes.batch_rows = 32;
  SizeForBatchBench(options, model->info(), &sizes);
  EXPECT_EQ(400, sizes.context);
  const auto engine = MakeEngine(model, sizes);
  const auto began = std::chrono::steady_clock::now();
  const auto rows = RunBatchBench(*engine, kLimits, options);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - began;
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_LT(rows->back().value, took.count()) << "a gap in milliseconds is a part of the whole";
  std::vector<std::string> tests;
  for (const RatioRow& row : *rows) {
    tests.push_back(row.test + " / " + row.against);
    EXPECT_GT(row.value, 0) << row.test;
    EXPECT_GT(row.reference, 0) << row.test;
    if (row.unit == "ms") {
      EXPECT_LT(row.value, took.count()) << row.test;
    }
    EXPECT_DOUBLE_EQ(row.value / row.reference, row.ratio) << row.test;
  }
  EXPECT_THAT(
      tests,
      testing::ElementsAre(
          "1 session at 20 / limit of reading", "3 sessions at 20 / 1 session",
          "3 sessions at 20 / limit of computing", "3 sessions at 20 / the lesser of it and 3 x 1",
          "prefix cache, 33 / its prefill", "prefix cache, 100 / its prefill",
          "loop, 1 session / a step", "  without samplers / a step", "loop, 3 sessions / a step",
          "  without samplers / a step", "longest gap beside 400 / a chunk and a step alone"));
  EXPECT_EQ((*rows)[1].reference, (*rows)[0].value);
  EXPECT_EQ((*rows)[3].reference, std::min((*rows)[2].reference, 3 * (*rows)[0].value));
  EXPECT_LT((*rows)[7].value, (*rows)[6].value);
  EXPECT_EQ(sizes.sessions_max * BlocksFor(400), engine->stats().blocks_total);
}

TEST(BatchBench, ALongPromptEndsAtTheCapacity) {
  const auto model = LoadGolden("qwen2", ComputeType::kInt8);
  const BatchBenchOptions options = {
      .sessions = 2, .depth = 8, .decode_tokens = 2, .prompts = {}, .repetitions = 1};
  EngineOptions sizes = OneThread(0);
  SizeForBatchBench(options, model->info(), &sizes);
  EXPECT_EQ(model->info().context_max, sizes.context);  // fewer than 8,192
  sizes.context = 100;
  sizes.batch_rows = 4;  // 25 passes, so that tokens fall between them
  const auto engine = MakeEngine(model, sizes);
  const auto rows = RunBatchBench(*engine, kLimits, options);
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_EQ("longest gap beside 100", rows->back().test);
}

TEST(BatchBench, NothingToMeasureIsRefused) {
  const auto engine = MakeEngine(LoadGolden("qwen2", ComputeType::kInt8), OneThread(64));
  const BatchBenchOptions bad[] = {
      {.sessions = 0}, {.depth = 0}, {.decode_tokens = 0}, {.prompt_long = 1}, {.repetitions = 0}};
  for (const BatchBenchOptions& options : bad) {
    const Status status = RunBatchBench(*engine, kLimits, options).status();
    EXPECT_EQ(Code::kInvalidArgument, status.code());
    EXPECT_THAT(status.message(), HasSubstr("at least one"));
  }
  EXPECT_EQ(Code::kExhausted, RunBatchBench(*engine, kLimits, {.depth = 65}).status().code());
}

TEST(LoopClock, CountsWorkAndNoWaiting) {
  constexpr uint64_t kNap = 20'000'000;  // ns, at each of the first tokens
  const auto engine = MakeEngine(LoadGolden("llama3", ComputeType::kF32, "ref"), OneThread(128));
  const auto session = MakeSession(*engine, 1);
  GenerateOptions options = Steps(20);
  int naps = 0;
  options.on_logits = [&](std::span<const float>) {
    if (++naps <= 5) std::this_thread::sleep_for(std::chrono::nanoseconds(kNap));
  };
  const uint64_t began = NowNs();
  ASSERT_TRUE(session->Complete(Numbers(100, 3), options).ok());
  const uint64_t elapsed = NowNs() - began;
  const EngineStats stats = engine->stats();
  EXPECT_GT(stats.sample_ns, 0u);
  EXPECT_GT(stats.loop_ns, stats.sample_ns);
  EXPECT_GT(stats.forward_ns, 0u);
  EXPECT_LT(stats.forward_ns + stats.loop_ns, elapsed - 4 * kNap);
  EXPECT_GT(stats.forward_ns, stats.loop_ns);  // a pass in plain C++ against a few lines of it
  EXPECT_NE(PrometheusText(stats).find("gyrator_forward_nanoseconds_total " +
                                       std::to_string(stats.forward_ns) + "\n"),
            std::string::npos);
}

}  // namespace
}  // namespace gyrator

#include <algorithm>
#include <cstdlib>
#include <latch>
#include <stop_token>
#include <string>
#include <thread>

#include "base/check.h"
#include "engine/bench_cost.h"
#include "engine/engine_impl.h"
#include "gyrator/bench.h"
#include "kv/radix_tree.h"

namespace gyrator {

namespace {

constexpr int32_t kOthers = 64;       // prompts in the tree beside the one that is timed
constexpr uint64_t kSeedLong = 5000;  // of prompts; those of sessions count from 1000

struct Bench {
  EngineImpl& engine;
  const MachineLimits& limits;
  const BatchBenchOptions& options;

  std::vector<TokenId> Prompt(int32_t count, uint64_t seed) const {
    return RandomTokens(count, engine.model().info().vocab, seed);
  }
};

double MillisecondsSince(uint64_t began_ns) {
  return static_cast<double>(NowNs() - began_ns) * 1e-6;
}

GenerateOptions Steps(int32_t tokens) {
  GenerateOptions options;
  options.tokens_max = tokens;
  options.ignore_end = true;
  return options;
}

RatioRow Row(std::string test, std::string unit, double value, std::string against,
             double reference) {
  return {.test = std::move(test),
          .unit = std::move(unit),
          .value = value,
          .against = std::move(against),
          .reference = reference,
          .ratio = value / reference};
}

// Sessions that decode in the same passes.
struct Together {
  double tokens_s = 0;
  // Of a pass:
  double step_ms = 0, loop_ms = 0, sample_ms = 0;
};

Status FirstFailure(const std::vector<Result<Reply>>& replies) {
  for (const auto& reply : replies) GYRATOR_RETURN_IF_ERROR(reply.status());
  return {};
}

Result<Together> DecodeTogether(const Bench& bench, int32_t count) {
  EngineImpl& engine = bench.engine;
  const int32_t tokens = bench.options.decode_tokens;
  std::vector<double> rates;
  EngineStats spent;
  for (int i = 0; i < bench.options.repetitions; ++i) {
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<BatchRequest> first, rest;
    for (int32_t s = 0; s < count; ++s) {
      GYRATOR_ASSIGN_OR_RETURN(auto session, engine.NewSession({.sampler = {.temperature = 0}}));
      sessions.push_back(std::move(session));
      first.push_back({.session = sessions.back().get(),
                       .prefix = bench.Prompt(bench.options.depth, 1000 + static_cast<uint64_t>(s)),
                       .options = Steps(1)});
    }
    rest = first;
    const auto read = engine.Run(first);
    GYRATOR_RETURN_IF_ERROR(FirstFailure(read));
    for (size_t s = 0; s < rest.size(); ++s) {
      rest[s].prefix.push_back(read[s]->tokens.front());
      rest[s].options = Steps(tokens);
    }
    const EngineStats before = engine.stats();
    const uint64_t began = NowNs();
    const auto replies = engine.Run(rest);
    rates.push_back(1e3 * count * tokens / MillisecondsSince(began));
    const EngineStats after = engine.stats();
    GYRATOR_RETURN_IF_ERROR(FirstFailure(replies));
    spent.passes += after.passes - before.passes;
    spent.forward_ns += after.forward_ns - before.forward_ns;
    spent.loop_ns += after.loop_ns - before.loop_ns;
    spent.sample_ns += after.sample_ns - before.sample_ns;
  }
  const double per_pass = 1e-6 / static_cast<double>(spent.passes);
  return Together{.tokens_s = Median(rates),
                  .step_ms = static_cast<double>(spent.forward_ns + spent.loop_ns) * per_pass,
                  .loop_ms = static_cast<double>(spent.loop_ns) * per_pass,
                  .sample_ms = static_cast<double>(spent.sample_ns) * per_pass};
}

void AddDecoding(const Bench& bench, const Together& one, const Together& all,
                 std::vector<RatioRow>* rows) {
  const int32_t count = bench.options.sessions;
  const TokenCost cost = CountCost(bench.engine.model_impl().loaded().weights, bench.engine.kv());
  const double bytes =
      cost.weight_bytes + cost.kv_bytes * (bench.options.depth + bench.options.decode_tokens / 2.0);
  const double computing = PeakGops(bench.limits, bench.engine.model().info().compute) * 1e9 /
                           (cost.layer_ops + cost.head_ops);
  const std::string at = " at " + std::to_string(bench.options.depth);
  const std::string many = std::to_string(count) + " sessions" + at;
  rows->push_back(Row("1 session" + at, "tokens/s", one.tokens_s, "limit of reading",
                      bench.limits.read_gb_s * 1e9 / bytes));
  rows->push_back(Row(many, "tokens/s", all.tokens_s, "1 session", one.tokens_s));
  rows->push_back(Row(many, "tokens/s", all.tokens_s, "limit of computing", computing));
  rows->push_back(Row(many, "tokens/s", all.tokens_s,
                      "the lesser of it and " + std::to_string(count) + " x 1",
                      std::min(computing, count * one.tokens_s)));
}

// The prefix cache's part of a prompt: looked up once, remembered after each pass.
double CacheMs(const Bench& bench, const std::vector<TokenId>& prompt) {
  const auto length = static_cast<int32_t>(prompt.size());
  const auto per_prompt = static_cast<uint32_t>(BlocksFor(length));
  BlockPool pool(per_prompt * (kOthers + 1));
  RadixTree tree(&pool, {});
  std::vector<uint32_t> blocks;
  for (uint64_t other = 0; other < kOthers; ++other) {
    blocks.clear();
    GYRATOR_CHECK(pool.Allocate(per_prompt, &blocks).ok());
    tree.Insert("", bench.Prompt(length, 9000 + other), blocks, other);
  }
  blocks.clear();
  GYRATOR_CHECK(pool.Allocate(per_prompt, &blocks).ok());
  const uint64_t began = NowNs();
  tree.Acquire("", prompt, kOthers);
  const auto chunk = static_cast<size_t>(bench.engine.options().batch_rows);
  for (size_t end = std::min(chunk, prompt.size());; end = std::min(end + chunk, prompt.size())) {
    const auto held = static_cast<size_t>(BlocksFor(static_cast<int32_t>(end)));
    tree.Insert("", std::span(prompt).first(end), std::span(blocks).first(held), kOthers);
    if (end == prompt.size()) break;
  }
  tree.Acquire("", prompt, kOthers);  // what a second one of it finds
  return MillisecondsSince(began);
}

Status AddPrefixes(const Bench& bench, std::vector<RatioRow>* rows) {
  for (const int32_t tokens : bench.options.prompts) {
    std::vector<double> cache, prefill;
    for (int i = 0; i < bench.options.repetitions; ++i) {
      const auto prompt = bench.Prompt(tokens, 2000 + static_cast<uint64_t>(i));
      cache.push_back(CacheMs(bench, prompt));
      SessionOptions alone;
      alone.cache_namespace = "prompt " + std::to_string(tokens);  // nothing of it is there
      GYRATOR_ASSIGN_OR_RETURN(const auto session, bench.engine.NewSession(alone));
      GYRATOR_ASSIGN_OR_RETURN(const Reply reply, session->Complete(prompt, Steps(0)));
      prefill.push_back(reply.prompt_ms);
    }
    rows->push_back(Row("prefix cache, " + std::to_string(tokens), "ms", Median(cache),
                        "its prefill", Median(prefill)));
  }
  return {};
}

void AddLoop(const std::string& who, const Together& together, std::vector<RatioRow>* rows) {
  rows->push_back(Row("loop, " + who, "ms", together.loop_ms, "a step", together.step_ms));
  rows->push_back(Row("  without samplers", "ms", together.loop_ms - together.sample_ms, "a step",
                      together.step_ms));
}

// The time of the last chunk of a long prompt, whose length is what a decoding session leaves of a
// pass.
Result<double> ChunkMs(const Bench& bench, int32_t length) {
  const int32_t chunk = std::min(bench.engine.options().batch_rows - 1, length - 1);
  std::vector<double> times;
  GYRATOR_ASSIGN_OR_RETURN(const auto session, bench.engine.NewSession({}));
  std::vector<TokenId> prompt = bench.Prompt(length, kSeedLong);
  for (int i = 0; i < bench.options.repetitions; ++i) {
    const auto last = bench.Prompt(chunk, kSeedLong + 1 + static_cast<uint64_t>(i));
    std::copy(last.begin(), last.end(), prompt.end() - chunk);
    GYRATOR_ASSIGN_OR_RETURN(const Reply reply, session->Complete(prompt, Steps(0)));
    if (std::abs(reply.tokens_decoded - chunk) > chunk / 8) {  // random tokens may agree
      return Status::Internal("bench: " + std::to_string(reply.tokens_decoded) + " tokens of " +
                              std::to_string(chunk) + " were to be computed");
    }
    times.push_back(reply.prompt_ms);
  }
  return Median(times);
}

// The longest time between two tokens of a session while another one's prompt is read.
Result<double> GapMs(const Bench& bench, int32_t length) {
  GYRATOR_ASSIGN_OR_RETURN(const auto talking,
                           bench.engine.NewSession({.sampler = {.temperature = 0}}));
  GYRATOR_ASSIGN_OR_RETURN(const auto reading, bench.engine.NewSession({}));
  std::vector<uint64_t> times;
  std::latch begun(1), reads(1);  // the talker waits, so that its tokens fall into the prompt
  std::stop_source stop;
  GenerateOptions talk = Steps(bench.engine.options().context - bench.options.depth);
  talk.cancel = stop.get_token();
  talk.on_logits = [&](std::span<const float>) {
    times.push_back(NowNs());
    if (times.size() != 4) return;
    begun.count_down();
    reads.wait();
    times.back() = NowNs();
  };
  Status talked;
  std::thread talker([&] {
    talked = talking->Complete(bench.Prompt(bench.options.depth, 1000), talk).status();
    if (times.size() < 4) begun.count_down();
  });
  begun.wait();
  const uint64_t began = NowNs();
  reads.count_down();
  const Status read = reading->Complete(bench.Prompt(length, kSeedLong), Steps(0)).status();
  const uint64_t ended = NowNs();
  stop.request_stop();
  talker.join();
  GYRATOR_RETURN_IF_ERROR(talked);
  GYRATOR_RETURN_IF_ERROR(read);
  uint64_t longest = 0;
  for (size_t i = 1; i < times.size(); ++i) {
    if (times[i] > began && times[i - 1] < ended) {
      longest = std::max(longest, times[i] - times[i - 1]);
    }
  }
  if (longest == 0) return Status::Internal("bench: no token fell into the long prompt");
  return static_cast<double>(longest) * 1e-6;
}

int32_t LongPrompt(const BatchBenchOptions& options, int32_t capacity) {
  return std::min(options.prompt_long, capacity);
}

}  // namespace

void SizeForBatchBench(const BatchBenchOptions& options, const ModelInfo& model,
                       EngineOptions* engine) {
  const int32_t each = options.depth + options.decode_tokens + 1;
  if (engine->context == 0) {
    int32_t most = std::max(each, options.prompt_long);
    for (const int32_t prompt : options.prompts) most = std::max(most, prompt);
    engine->context = std::min(most, model.context_max);
  }
  // Two long ones, the sessions that decode together, and a block's rounding for each.
  const int64_t positions = 2 * int64_t{LongPrompt(options, engine->context)} +
                            int64_t{options.sessions} * (each + kBlockPositions);
  engine->sessions_max = static_cast<int32_t>(positions / engine->context) + 2;
}

Result<std::vector<RatioRow>> RunBatchBench(Engine& engine, const MachineLimits& limits,
                                            const BatchBenchOptions& options) {
  if (options.repetitions < 1 || options.decode_tokens < 1 || options.sessions < 1 ||
      options.depth < 1 || options.prompt_long < 2) {
    return Status::InvalidArgument(
        "bench: at least one repetition, session, position and token, and a long prompt of two "
        "expected");
  }
  const Bench bench{static_cast<EngineImpl&>(engine), limits, options};
  std::vector<RatioRow> rows;
  GYRATOR_ASSIGN_OR_RETURN(const Together one, DecodeTogether(bench, 1));
  GYRATOR_ASSIGN_OR_RETURN(const Together all, DecodeTogether(bench, options.sessions));
  AddDecoding(bench, one, all, &rows);
  GYRATOR_RETURN_IF_ERROR(AddPrefixes(bench, &rows));
  AddLoop("1 session", one, &rows);
  AddLoop(std::to_string(options.sessions) + " sessions", all, &rows);
  const int32_t length = LongPrompt(options, engine.options().context);
  GYRATOR_ASSIGN_OR_RETURN(const double gap, GapMs(bench, length));
  GYRATOR_ASSIGN_OR_RETURN(const double chunk, ChunkMs(bench, length));
  rows.push_back(Row("longest gap beside " + std::to_string(length), "ms", gap,
                     "a chunk and a step alone", chunk + 1e3 / one.tokens_s));
  return rows;
}

}  // namespace gyrator

#include "gyrator/bench.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <thread>

#include "engine/bench_cost.h"
#include "engine/engine_impl.h"
#include "kernels/limits.h"

namespace gyrator {

namespace {

constexpr int kRepetitionsMax = 1000;  // however short one is

// Measures until there are enough repetitions and enough time: a small model takes milliseconds for
// one, and three of those say little. `once` does repetition i and returns its seconds. Repetition
// 0 is not counted: it touches weights and cache for the first time.
Status Repeat(const BenchOptions& options, const std::function<Result<double>(int)>& once,
              BenchRow* row) {
  std::vector<double> rates;
  double seconds = 0;
  for (int i = 0; i <= options.repetitions || (seconds < options.seconds && i <= kRepetitionsMax);
       ++i) {
    GYRATOR_ASSIGN_OR_RETURN(const double took, once(i));
    if (i == 0) continue;
    rates.push_back(row->tokens / took);
    seconds += took;
  }
  row->tokens_s = Median(rates);
  row->tokens_s_min = *std::min_element(rates.begin(), rates.end());
  row->tokens_s_max = *std::max_element(rates.begin(), rates.end());
  row->repetitions = static_cast<int>(rates.size());
  return {};
}

// The prompt of `tokens` tokens is the `test`-th of the run.
Result<BenchRow> BenchPrefill(EngineImpl& engine, const MachineLimits& limits,
                              const BenchOptions& options, size_t test) {
  const int32_t tokens = options.prefill[test];
  const TokenCost cost = CountCost(engine.model_impl().loaded().weights, engine.kv());
  BenchRow row{.test = "prefill " + std::to_string(tokens), .tokens = tokens};
  const auto once = [&](int i) -> Result<double> {
    const std::vector<TokenId> prompt =
        RandomTokens(tokens, engine.model().info().vocab, static_cast<uint64_t>(i) + 1);
    // Prompts that begin alike would share what is computed already.
    SessionOptions alone;
    alone.cache_namespace = "prefill " + std::to_string(test) + ", " + std::to_string(i);
    GYRATOR_ASSIGN_OR_RETURN(auto session, engine.NewSession(alone));
    GYRATOR_ASSIGN_OR_RETURN(const Reply reply, session->Complete(prompt, {.tokens_max = 0}));
    if (reply.tokens_decoded != tokens) {
      return Status::Internal("bench: " + std::to_string(reply.tokens_reused) +
                              " tokens of a prompt were there already; use another engine");
    }
    return reply.prompt_ms * 1e-3;
  };
  GYRATOR_RETURN_IF_ERROR(Repeat(options, once, &row));
  row.gop_s = row.tokens_s * cost.layer_ops * 1e-9;
  row.limit_tokens_s = PeakGops(limits, engine.model().info().compute) * 1e9 / cost.layer_ops;
  row.share = row.tokens_s / row.limit_tokens_s;
  return row;
}

Result<BenchRow> BenchDecode(EngineImpl& engine, const MachineLimits& limits,
                             const BenchOptions& options, int32_t depth) {
  const TokenCost cost = CountCost(engine.model_impl().loaded().weights, engine.kv());
  const std::vector<TokenId> prompt =
      RandomTokens(std::max(depth, 1), engine.model().info().vocab, 1000);
  BenchRow row{.test = "decode at " + std::to_string(depth), .tokens = options.decode_tokens};
  GYRATOR_ASSIGN_OR_RETURN(auto session, engine.NewSession({.sampler = {.temperature = 0}}));
  const auto once = [&](int) -> Result<double> {
    GYRATOR_ASSIGN_OR_RETURN(
        const Reply reply,
        session->Complete(prompt, {.tokens_max = options.decode_tokens + 1, .ignore_end = true}));
    // The first token comes from the prompt's logits; the rest took one step each.
    return reply.generate_ms * 1e-3;
  };
  GYRATOR_RETURN_IF_ERROR(Repeat(options, once, &row));
  const double bytes = cost.weight_bytes + cost.kv_bytes * (depth + options.decode_tokens / 2.0);
  row.gb_s = row.tokens_s * bytes * 1e-9;
  row.limit_tokens_s = limits.read_gb_s * 1e9 / bytes;
  row.share = row.tokens_s / row.limit_tokens_s;
  return row;
}

}  // namespace

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

Result<MachineLimits> MeasureLimits(const std::string& isa, int threads) {
  GYRATOR_ASSIGN_OR_RETURN(const Ops* ops, ChooseOps(isa));
  if (threads < 1) threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const Limits limits = MeasureLimits(*ops, threads);
  std::vector<ReadPattern> reads;
  for (const ReadLimit& read : limits.reads) {
    reads.push_back({read.streams, read.prefetch, read.gb_s.one_thread, read.gb_s.all_threads});
  }
  return MachineLimits{.cpu = CpuName(),
                       .isa = std::string(ops->name),
                       .threads = threads,
                       .read_gb_s = limits.BestReadGbS(),
                       .reads = std::move(reads),
                       .f32_gflop_s = limits.f32_gflop_s.all_threads,
                       .bf16_gflop_s = limits.bf16_gflop_s.all_threads,
                       .int8_gop_s = limits.int8_gop_s.all_threads};
}

Result<std::vector<BenchRow>> RunBench(Engine& engine, const MachineLimits& limits,
                                       const BenchOptions& options) {
  if (options.repetitions < 1) {
    return Status::InvalidArgument("bench: at least one repetition expected");
  }
  auto& impl = static_cast<EngineImpl&>(engine);
  std::vector<BenchRow> rows;
  for (size_t test = 0; test < options.prefill.size(); ++test) {
    if (options.prefill[test] == 0) continue;
    GYRATOR_ASSIGN_OR_RETURN(BenchRow row, BenchPrefill(impl, limits, options, test));
    rows.push_back(std::move(row));
  }
  for (int32_t depth : options.depths) {
    if (options.decode_tokens == 0) continue;
    GYRATOR_ASSIGN_OR_RETURN(BenchRow row, BenchDecode(impl, limits, options, depth));
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return Status::InvalidArgument("bench: a prompt or a token expected");
  return rows;
}

}  // namespace gyrator

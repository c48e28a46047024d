// gyrator bench [limits|batch]: speed, and its share of what the machine allows, measured in one
// run.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "gyrator/bench.h"

namespace gyrator::cli {

namespace {

Json JsonOf(const MachineLimits& limits) {
  return {{"cpu", limits.cpu},
          {"isa", limits.isa},
          {"threads", limits.threads},
          {"read_gb_s", limits.read_gb_s},
          {"f32_gflop_s", limits.f32_gflop_s},
          {"bf16_gflop_s", limits.bf16_gflop_s},
          {"int8_gop_s", limits.int8_gop_s}};
}

std::string TextOf(const MachineLimits& limits) {
  return fmt::format(
      "{}, {}, {} threads\n"
      "read {:.1f} GB/s   f32 {:.0f} GFLOP/s   bf16 {:.0f} GFLOP/s   int8 {:.0f} GOP/s\n",
      limits.cpu, limits.isa, limits.threads, limits.read_gb_s, limits.f32_gflop_s,
      limits.bf16_gflop_s, limits.int8_gop_s);
}

// What `bench limits` says beside the limits.
Json JsonOf(const std::vector<ReadPattern>& reads) {
  Json rows = Json::array();
  for (const ReadPattern& read : reads) {
    rows.push_back({{"streams", read.streams},
                    {"prefetch", read.prefetch},
                    {"one_thread_gb_s", read.one_thread_gb_s},
                    {"gb_s", read.gb_s}});
  }
  return rows;
}

std::string TextOf(const std::vector<ReadPattern>& reads) {
  std::string text = fmt::format("\n{:24} {:>15} {:>17}\n", "reading memory", "1 thread, GB/s",
                                 "all threads, GB/s");
  for (const ReadPattern& read : reads) {
    const std::string name =
        fmt::format("{} stream{} a thread{}", read.streams, read.streams == 1 ? "" : "s",
                    read.prefetch ? ", prefetched" : "");
    text += fmt::format("{:31} {:>8.1f} {:>17.1f}\n", name, read.one_thread_gb_s, read.gb_s);
  }
  return text;
}

Json JsonOf(const BenchRow& row) {
  return {{"test", row.test},
          {"tokens", row.tokens},
          {"tokens_s", row.tokens_s},
          {"gb_s", row.gb_s},
          {"gop_s", row.gop_s},
          {"limit_tokens_s", row.limit_tokens_s},
          {"share", row.share},
          {"tokens_s_min", row.tokens_s_min},
          {"tokens_s_max", row.tokens_s_max},
          {"repetitions", row.repetitions}};
}

std::string TextOf(const std::vector<BenchRow>& rows) {
  std::string text =
      fmt::format("{:18} {:>10} {:>19} {:>5} {:>8} {:>9} {:>12} {:>6}\n", "test", "tokens/s",
                  "least to most", "of", "GB/s", "GOP/s", "limit t/s", "share");
  for (const BenchRow& row : rows) {
    text += fmt::format(
        "{:18} {:>10.1f} {:>8.1f} - {:>8.1f} {:>5} {:>8.1f} {:>9.1f} {:>12.1f} {:>5.0f}%\n",
        row.test, row.tokens_s, row.tokens_s_min, row.tokens_s_max, row.repetitions, row.gb_s,
        row.gop_s, row.limit_tokens_s, 100 * row.share);
  }
  return text;
}

Json JsonOf(const RatioRow& row) {
  return {{"test", row.test},       {"unit", row.unit},           {"value", row.value},
          {"against", row.against}, {"reference", row.reference}, {"ratio", row.ratio}};
}

std::string TextOf(const std::vector<RatioRow>& rows) {
  std::string text = fmt::format("{:24} {:>11} {:9} {:28} {:>11} {:>8}\n", "test", "value", "",
                                 "against", "", "ratio");
  for (const RatioRow& row : rows) {
    text += fmt::format("{:24} {:>11.3f} {:9} {:28} {:>11.3f} {:>8.4f}\n", row.test, row.value,
                        row.unit, row.against, row.reference, row.ratio);
  }
  return text;
}

// The model and the limits, then the rows as a table; or all of it as JSON.
template <class Row>
Status Print(const Context& context, const ModelInfo& info, const MachineLimits& limits,
             const std::vector<Row>& rows) {
  if (context.json) {
    Json tests = Json::array();
    for (const Row& row : rows) tests.push_back(JsonOf(row));
    return PrintJson({{"model", info.name},
                      {"parameters", info.parameters},
                      {"compute", ComputeTypeName(info.compute)},
                      {"numerics", info.numerics},
                      {"limits", JsonOf(limits)},
                      {"tests", tests}});
  }
  return PrintText(TextOf(limits) +
                   fmt::format("{}, {:.1f} M parameters, {}\n\n", info.name,
                               static_cast<double>(info.parameters) / 1e6, info.numerics) +
                   TextOf(rows));
}

Status BenchBatch(const BenchArgs& args, const Context& context, int threads) {
  ProgressView progress(context.terminals);
  if (args.depths.empty()) return Status::InvalidArgument("--n-depth: a depth expected");
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(args.model, &progress));
  const BatchBenchOptions options = {.sessions = args.parallel,
                                     .depth = args.depths.front(),
                                     .decode_tokens = args.decode_tokens,
                                     .prompts = args.prefill,
                                     .prompt_long = args.prompt_long,
                                     .repetitions = args.repetitions};
  EngineOptions engine_options = EngineOptionsOf(args.engine, threads);
  SizeForBatchBench(options, model->info(), &engine_options);
  GYRATOR_ASSIGN_OR_RETURN(const auto engine, Engine::Create(model, engine_options));
  GYRATOR_ASSIGN_OR_RETURN(const MachineLimits limits, MeasureLimits(args.model.isa, threads));
  GYRATOR_ASSIGN_OR_RETURN(const auto rows, RunBatchBench(*engine, limits, options));
  progress.Clear();
  return Print(context, model->info(), limits, rows);
}

// Positions that the longest test needs.
int32_t Positions(const BenchArgs& args) {
  int32_t most = 1;
  for (const int32_t prompt : args.prefill) most = std::max(most, prompt);
  for (const int32_t depth : args.depths) most = std::max(most, depth + args.decode_tokens);
  return most + 1;
}

}  // namespace

Status RunBenchCommand(const BenchArgs& args, const Context& context) {
  const int threads = args.model.threads == 0 ? NumCores() : args.model.threads;
  ProgressView progress(context.terminals);
  if (args.what == BenchWhat::kLimits) {
    GYRATOR_ASSIGN_OR_RETURN(const MachineLimits limits, MeasureLimits(args.model.isa, threads));
    if (!context.json) return PrintText(TextOf(limits) + TextOf(limits.reads));
    Json result = JsonOf(limits);
    result["reads"] = JsonOf(limits.reads);
    return PrintJson(result);
  }
  if (args.what == BenchWhat::kBatch) return BenchBatch(args, context, threads);
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                           OpenModel(args.model, &progress));
  EngineFlags engine_flags = args.engine;
  if (engine_flags.context == 0) engine_flags.context = Positions(args);
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                           OpenEngine(model, engine_flags, threads, &progress));
  GYRATOR_ASSIGN_OR_RETURN(const MachineLimits limits, MeasureLimits(args.model.isa, threads));
  const BenchOptions options = {.prefill = args.prefill,
                                .decode_tokens = args.decode_tokens,
                                .depths = args.depths,
                                .repetitions = args.repetitions,
                                .seconds = args.seconds};
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<BenchRow> rows, RunBench(*engine, limits, options));
  progress.Clear();
  return Print(context, model->info(), limits, rows);
}

}  // namespace gyrator::cli

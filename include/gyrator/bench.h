// What `gyrator bench` measures. Figures are medians; compare only within one run.
#pragma once

#include <string>
#include <vector>

#include "gyrator/engine.h"
#include "gyrator/status.h"

namespace gyrator {

// As the system names it ("AMD EPYC ..."), else "unknown".
std::string CpuName();

// How memory was read, and how fast.
struct ReadPattern {
  int streams = 0;        // of a thread, interleaved
  bool prefetch = false;  // by instructions, too
  double one_thread_gb_s = 0;
  double gb_s = 0;  // all threads
};

// The limits of this machine with `threads` threads.
struct MachineLimits {
  std::string cpu;
  std::string isa;
  int threads = 0;
  double read_gb_s = 0;  // the best of `reads`
  std::vector<ReadPattern> reads = {};
  double f32_gflop_s = 0;   // fma
  double bf16_gflop_s = 0;  // by the instructions that the bf16 path uses
  double int8_gop_s = 0;    // by the instructions that the int8 path uses
};
Result<MachineLimits> MeasureLimits(const std::string& isa, int threads);

struct BenchRow {
  std::string test;  // "prefill 512", "decode at 128", ...
  int32_t tokens = 0;
  double tokens_s = 0;  // median of the repetitions
  double tokens_s_min = 0;
  double tokens_s_max = 0;
  int repetitions = 0;
  double gb_s = 0;   // bytes that must be read / time (decode)
  double gop_s = 0;  // multiply-adds x 2 / time (prefill)
  double limit_tokens_s = 0;
  double share = 0;  // tokens_s / limit_tokens_s
};

struct BenchOptions {
  std::vector<int32_t> prefill = {512};  // 0: no such test
  int32_t decode_tokens = 32;            // 0: none at any depth
  std::vector<int32_t> depths = {0};
  int repetitions = 3;  // of each test, after one that is not counted
  double seconds = 2;   // and more repetitions, at most 1,000, until they took this long
};
// kInvalidArgument when nothing is left to measure.
Result<std::vector<BenchRow>> RunBench(Engine& engine, const MachineLimits& limits,
                                       const BenchOptions& options);

// One figure of many sessions in one engine, beside what it is held against.
struct RatioRow {
  std::string test;  // "16 sessions at 256"
  std::string unit;  // "tokens/s", "ms"
  double value = 0;
  std::string against;  // "16 times one session", ...
  double reference = 0;
  double ratio = 0;  // value / reference
};

struct BatchBenchOptions {
  int32_t sessions = 16;  // that decode together
  int32_t depth = 256;    // tokens of each before
  int32_t decode_tokens = 32;
  std::vector<int32_t> prompts = {512, 2048};  // that are looked up and remembered
  int32_t prompt_long = 8192;  // beside which a session decodes; at most its capacity
  int repetitions = 3;
};

// Sizes for RunBatchBench, where `engine` leaves them open: a capacity (at most the model's) and
// the sessions that the pool has to hold.
void SizeForBatchBench(const BatchBenchOptions& options, const ModelInfo& model,
                       EngineOptions* engine);

// Decoding together against alone and against the limit of computing; the time of the prefix cache
// against that of the prefill that it saves; of the loop against that of a step; the longest gap
// between two tokens beside a long prompt against a chunk of it and a step alone. Takes an engine
// that has run nothing. kInvalidArgument; kExhausted when the pool is too small.
Result<std::vector<RatioRow>> RunBatchBench(Engine& engine, const MachineLimits& limits,
                                            const BatchBenchOptions& options);

}  // namespace gyrator

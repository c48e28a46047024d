// What `gyrator bench` measures. Figures are medians; compare only within one run.
#pragma once

#include <string>
#include <vector>

#include "gyrator/engine.h"
#include "gyrator/status.h"

namespace gyrator {

// As the system names it ("AMD EPYC ..."), else "unknown".
std::string CpuName();

// The limits of this machine with `threads` threads.
struct MachineLimits {
  std::string cpu;
  std::string isa;
  int threads = 0;
  double read_gb_s = 0;     // sequential read, best number of streams
  double f32_gflop_s = 0;   // fma
  double bf16_gflop_s = 0;  // by the instructions that the bf16 path uses
  double int8_gop_s = 0;    // by the instructions that the int8 path uses
};
Result<MachineLimits> MeasureLimits(const std::string& isa, int threads);

struct BenchRow {
  std::string test;  // "prefill 512", "decode at 128", ...
  int32_t tokens = 0;
  double tokens_s = 0;
  double gb_s = 0;   // bytes that must be read / time (decode)
  double gop_s = 0;  // multiply-adds x 2 / time (prefill)
  double limit_tokens_s = 0;
  double share = 0;  // tokens_s / limit_tokens_s
};

struct BenchOptions {
  std::vector<int32_t> prefill = {512};
  int32_t decode_tokens = 32;
  std::vector<int32_t> depths = {0};
  int repetitions = 3;
};
Result<std::vector<BenchRow>> RunBench(Engine& engine, const MachineLimits& limits,
                                       const BenchOptions& options);

}  // namespace gyrator

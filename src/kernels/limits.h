// What this machine can do at most: the numbers that every measured speed is a share of.
//
// Each is the median of several short runs of a loop that does nothing else: reading memory, or
// issuing the instruction that a kernel of the named implementation rests on. A loaded machine
// shows less; measure beside the speed that is compared.
#pragma once

#include <string_view>
#include <vector>

#include "kernels/ops.h"

namespace gyrator {

struct Limit {
  double one_thread = 0;
  double all_threads = 0;
};

// GB/s (10^9 bytes) read from memory in one pattern.
struct ReadLimit {
  int streams = 1;        // of a thread, interleaved: pieces of 256 bytes of each in turn
  bool prefetch = false;  // each line is asked for by an instruction, too, some pieces ahead
  Limit gb_s;
};

struct Limits {
  std::string_view isa;  // name of the Ops
  int num_threads = 0;
  std::vector<ReadLimit> reads;  // which pattern is fastest depends on the CPU
  // 10^9 operations a second, a multiplication and an addition being two.
  Limit f32_gflop_s;   // fma
  Limit bf16_gflop_s;  // TDPBF16PS, vdpbf16ps, or two fma a pair (then equal to f32)
  Limit int8_gop_s;    // vpdpbusd, or vpmaddubsw + vpmaddwd + vpaddd

  double BestReadGbS() const;  // all threads, the best pattern
};

// Takes some two seconds and 256 MiB. REQUIRES num_threads >= 1, and an Ops that this CPU runs.
Limits MeasureLimits(const Ops& ops, int num_threads);

}  // namespace gyrator

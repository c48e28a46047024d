// What the CPU and the kernel of the system allow.
#pragma once

namespace gyrator {

struct CpuFeatures {
  bool avx2 = false;    // AVX2, FMA, F16C; registers saved by the system
  bool avx512 = false;  // AVX512 F, BW, DQ, VL, VNNI and BF16, besides avx2
  bool amx = false;  // AMX TILE, BF16 and INT8, besides avx512; permission granted to this process
  // Kind of CPU: whether int8 products of few rows ask for their weights by prefetch instructions.
  // Intel's do: loops of such reads were faster with them on a server CPU with AMX. AMD's do not;
  // it was not measured there.
  bool prefetch = false;
};

// Asked once; asks the system for permission to use the tiles where the CPU has them.
const CpuFeatures& Cpu();

}  // namespace gyrator

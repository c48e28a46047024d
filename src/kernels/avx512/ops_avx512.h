// AVX-512 with VNNI and BF16. Contracts: kernels/ops.h.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

// `prefetch`: products of few rows ask for their weights by instructions (CpuFeatures::prefetch).
// REQUIRES AVX-512 F, BW, DQ, VL, VNNI and BF16.
const Ops& Avx512Ops(bool prefetch);

}  // namespace gyrator

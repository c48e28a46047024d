// AVX2 + FMA + F16C. Contracts: kernels/ops.h.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

const Ops& Avx2Ops();  // REQUIRES a CPU with AVX2, FMA and F16C

}  // namespace gyrator

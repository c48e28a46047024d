// AVX-512 with VNNI and BF16. Contracts: kernels/ops.h.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

const Ops& Avx512Ops();  // REQUIRES AVX-512 F, BW, DQ, VL, VNNI and BF16

}  // namespace gyrator

// The scalar specification of every kernel: what ops.h says, as plainly as C++ can say it.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

const Ops& RefOps();  // bf16 numerics bf16.dp.v1

// matmul_bf16 with numerics bf16.amx.v1 (TDPBF16PS).
void RefMatMulBf16Amx(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape);

}  // namespace gyrator

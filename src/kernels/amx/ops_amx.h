// matmul_bf16 with numerics bf16.amx.v1, matmul_int8 and attention by tiles. Contracts:
// kernels/ops.h.
#pragma once

#include "kernels/ops.h"

namespace gyrator {

// REQUIRES AMX-TILE and AMX-BF16, permitted to the process.
void AmxMatMulBf16(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape);

// Rows by the dozen; a row or two are better multiplied by lanes. REQUIRES AMX and AVX-512.
void AmxMatMulInt8(const QuantizedRows& x, const Int8Panels& w, float* y, const MatMulShape& shape);

// Attention for what AmxAttends says it is made for: the bits of every other implementation.
// REQUIRES AMX and AVX-512.
void AmxAttention(const AttentionArgs& args);
bool AmxAttends(const AttentionArgs& args);

// `iterations` times four TDPBF16PS that do not wait for each other: for limits.cc. Likewise.
void AmxBf16Peak(int64_t iterations);
// ... and four TDPBSSD of 16 x 16 x 32.
void AmxInt8Peak(int64_t iterations);

// The twin: the same bits. REQUIRES AVX2 and FMA.
void AmxTwinMatMulBf16(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape);
void AmxTwinMatMulInt8(const QuantizedRows& x, const Int8Panels& w, float* y,
                       const MatMulShape& shape);

}  // namespace gyrator

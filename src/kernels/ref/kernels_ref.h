// The functions behind RefOps, one file of definitions a kind. Contracts: kernels/ops.h.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace gyrator {

// The end of a lane sum; destroys its argument.
float RefFoldLanes(float (&lanes)[16]);

// TDPBF16PS over values that are bf16 already: chunks of 32, even and odd chains of fma from zero.
float RefDotTiles(int64_t count, const float* a, int64_t a_stride, const float* b,
                  int64_t b_stride);

void RefMatMulF32(const float* x, const float* w, float* y, const MatMulShape& shape);
void RefMatMulBf16(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape);
void RefMatMulInt8(const QuantizedRows& x, const Int8Panels& w, float* y, const MatMulShape& shape);
void RefAttention(const AttentionArgs& args);
void RefAttentionSpan(const AttentionArgs& args, Position span, float* partials);
void RefMergeSpans(const AttentionArgs& args, float* partials);

}  // namespace gyrator

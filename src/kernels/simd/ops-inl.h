// The kernels over the vector layer that was included before, and the struct that names them.
#pragma once

#include "kernels/simd/vector-inl.h"
//
#include "kernels/simd/elementwise-inl.h"
#include "kernels/simd/f32-inl.h"
//
#include "kernels/simd/attention-inl.h"
#include "kernels/simd/bf16-inl.h"
#include "kernels/simd/int8-inl.h"

namespace gyrator {
namespace {

// `int8`: MatMulInt8<whether weights are prefetched>.
constexpr Ops MakeOps(std::string_view name, decltype(Ops::matmul_int8) int8 = MatMulInt8<false>) {
  return {
      .name = name,
      .bf16_numerics = "bf16.dp.v1",
      .bf16_layout = Bf16Layout::kRows,
      .matmul_f32 = MatMulF32,
      .matmul_bf16 = MatMulBf16,
      .matmul_int8 = int8,
      .round_bf16 = RoundBf16,
      .quantize = Quantize,
      .rms_norm = RmsNorm,
      .rope = Rope,
      .silu_mul = SiluMul,
      .add = AddInPlace,
      .attention = Attention,
      .attention_span = AttentionSpan,
      .merge_spans = MergeSpans,
  };
}

}  // namespace
}  // namespace gyrator

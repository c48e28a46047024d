#include "kernels/ref/ops_ref.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/exp.h"
#include "kernels/ref/kernels_ref.h"

namespace gyrator {
namespace {

void RoundBf16(const float* x, uint16_t* y, int64_t count) {
  std::transform(x, x + count, y, F32ToBF16);
}

bool Quantize(const float* x, const QuantizedOut& out, int64_t count) {
  for (int64_t g = 0; g < count / 32; ++g) {
    const float* group = x + g * 32;
    float amax = 0.0f;
    for (int i = 0; i < 32; ++i) {
      const float magnitude = std::fabs(group[i]);
      if (!(magnitude <= std::numeric_limits<float>::max())) return false;
      amax = magnitude > amax ? magnitude : amax;
    }
    out.scale[g] = amax / 127.0f;
    const float inverse = out.scale[g] == 0.0f ? 0.0f : 127.0f / amax;
    int32_t sum = 0;
    for (int i = 0; i < 32; ++i) {
      const float rounded = (group[i] * inverse + kRoundMagic) - kRoundMagic;
      out.q[g * 32 + i] = static_cast<int8_t>(rounded);
      sum += out.q[g * 32 + i];
    }
    if (out.start != nullptr) out.start[g] = -128 * sum;
  }
  return true;
}

void RmsNorm(const float* x, const float* weight, float* y, int64_t dim, float eps) {
  float lanes[16] = {};
  for (int64_t i = 0; i < dim; ++i) lanes[i % 16] = std::fma(x[i], x[i], lanes[i % 16]);
  const float mean = RefFoldLanes(lanes) / static_cast<float>(dim);
  const float factor = 1.0f / std::sqrt(mean + eps);
  for (int64_t i = 0; i < dim; ++i) y[i] = (x[i] * factor) * weight[i];
}

void Rope(float* x, int64_t num_heads, int64_t head_dim, int64_t rotary_dim, const float* cos,
          const float* sin, RopeStyle style) {
  const int64_t half = rotary_dim / 2;
  for (int64_t h = 0; h < num_heads; ++h) {
    for (int64_t i = 0; i < half; ++i) {
      float* head = x + h * head_dim;
      float& first = style == RopeStyle::kHalf ? head[i] : head[2 * i];
      float& second = style == RopeStyle::kHalf ? head[i + half] : head[2 * i + 1];
      const float rotated = first * cos[i] - second * sin[i];
      second = second * cos[i] + first * sin[i];
      first = rotated;
    }
  }
}

void SiluMul(const float* gate, const float* up, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = gate[i] / (1.0f + Exp(-gate[i])) * up[i];
}

void Add(float* x, const float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] += y[i];
}

}  // namespace

const Ops& RefOps() {
  static constexpr Ops kOps = {
      .name = "ref",
      .bf16_numerics = "bf16.dp.v1",
      .bf16_layout = Bf16Layout::kRows,
      .matmul_f32 = RefMatMulF32,
      .matmul_bf16 = RefMatMulBf16,
      .matmul_int8 = RefMatMulInt8,
      .round_bf16 = RoundBf16,
      .quantize = Quantize,
      .rms_norm = RmsNorm,
      .rope = Rope,
      .silu_mul = SiluMul,
      .add = Add,
      .attention = RefAttention,
      .attention_span = RefAttentionSpan,
      .merge_spans = RefMergeSpans,
  };
  return kOps;
}

}  // namespace gyrator

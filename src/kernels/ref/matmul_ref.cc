#include <algorithm>
#include <cmath>

#include "kernels/ref/kernels_ref.h"
#include "kernels/ref/ops_ref.h"

namespace gyrator {
namespace {

// y[m][n] = dot(m, n) over the shape.
template <class Dot>
void ForEachOutput(float* y, const MatMulShape& shape, Dot dot) {
  for (int64_t m = 0; m < shape.num_rows; ++m) {
    for (int64_t n = shape.column_begin; n < shape.column_end; ++n) {
      y[m * shape.y_stride + n] = dot(m, n);
    }
  }
}

}  // namespace

float RefFoldLanes(float (&lanes)[16]) {
  for (int half = 8; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

float RefDotTiles(int64_t count, const float* a, int64_t a_stride, const float* b,
                  int64_t b_stride) {
  float acc = 0.0f;
  for (int64_t begin = 0; begin < count; begin += 32) {
    float chain[2] = {0.0f, 0.0f};  // even, odd
    for (int64_t i = begin; i < std::min(begin + 32, count); ++i) {
      chain[i % 2] = std::fma(a[i * a_stride], b[i * b_stride], chain[i % 2]);
    }
    acc = acc + (chain[0] + chain[1]);
  }
  return acc;
}

void RefMatMulF32(const float* x, const float* w, float* y, const MatMulShape& shape) {
  ForEachOutput(y, shape, [&](int64_t m, int64_t n) {
    float lanes[16] = {};
    for (int64_t i = 0; i < shape.k; ++i) {
      lanes[i % 16] = std::fma(x[m * shape.k + i], w[n * shape.k + i], lanes[i % 16]);
    }
    return RefFoldLanes(lanes);
  });
}

void RefMatMulBf16(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  ForEachOutput(y, shape, [&](int64_t m, int64_t n) {
    const uint16_t* a = x + m * shape.k;
    const uint16_t* b = w + n * shape.k;
    float lanes[16] = {};
    for (int64_t even = 0; even < shape.k; even += 2) {
      float& lane = lanes[even / 2 % 16];
      const int64_t odd = even + 1;
      if (odd < shape.k) lane = std::fma(BF16ToF32(a[odd]), BF16ToF32(b[odd]), lane);
      lane = std::fma(BF16ToF32(a[even]), BF16ToF32(b[even]), lane);
    }
    return RefFoldLanes(lanes);
  });
}

void RefMatMulBf16Amx(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  std::vector<float> a(static_cast<size_t>(shape.k));
  std::vector<float> b(static_cast<size_t>(shape.k));
  ForEachOutput(y, shape, [&](int64_t m, int64_t n) {
    std::transform(x + m * shape.k, x + (m + 1) * shape.k, a.begin(), BF16ToF32);
    std::transform(w + n * shape.k, w + (n + 1) * shape.k, b.begin(), BF16ToF32);
    return RefDotTiles(shape.k, a.data(), 1, b.data(), 1);
  });
}

void RefMatMulInt8(const QuantizedRows& x, const BlockQ8_0* w, float* y, const MatMulShape& shape) {
  const int64_t groups = shape.k / 32;
  ForEachOutput(y, shape, [&](int64_t m, int64_t n) {
    float acc = 0.0f;
    for (int64_t g = 0; g < groups; ++g) {
      const BlockQ8_0& block = w[n * groups + g];
      const int8_t* q = x.q + m * shape.k + g * 32;
      int32_t dot = 0;
      for (int i = 0; i < 32; ++i) dot += int32_t{q[i]} * block.q[i];
      const float scale = F16ToF32(block.scale) * x.scale[m * groups + g];
      acc = std::fma(static_cast<float>(dot), scale, acc);
    }
    return acc;
  });
}

}  // namespace gyrator

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
    for (int64_t n = 0; n < shape.num_columns; ++n) {
      y[m * shape.y_stride + n] = dot(m, n);
    }
  }
}

// Row n of the stored matrix at column i.
uint16_t Bf16WeightAt(const uint16_t* w, int64_t n, int64_t i, int64_t k) {
  const int64_t tile = n / kPanelColumns * NumPanelGroups(k) + i / kPanelGroup;
  return w[tile * kPanelTile + n % kPanelColumns * kPanelGroup + i % kPanelGroup];
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
    float lanes[16] = {};
    for (int64_t even = 0; even < shape.k; even += 2) {
      float& lane = lanes[even / 2 % 16];
      const int64_t odd = even + 1;
      if (odd < shape.k) {
        lane = std::fma(BF16ToF32(a[odd]), BF16ToF32(Bf16WeightAt(w, n, odd, shape.k)), lane);
      }
      lane = std::fma(BF16ToF32(a[even]), BF16ToF32(Bf16WeightAt(w, n, even, shape.k)), lane);
    }
    return RefFoldLanes(lanes);
  });
}

void RefMatMulBf16Amx(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  std::vector<float> a(static_cast<size_t>(shape.k));
  std::vector<float> b(static_cast<size_t>(shape.k));
  ForEachOutput(y, shape, [&](int64_t m, int64_t n) {
    for (int64_t i = 0; i < shape.k; ++i) {
      a[static_cast<size_t>(i)] = BF16ToF32(x[m * shape.k + i]);
      b[static_cast<size_t>(i)] = BF16ToF32(Bf16WeightAt(w, n, i, shape.k));
    }
    return RefDotTiles(shape.k, a.data(), 1, b.data(), 1);
  });
}

void RefMatMulInt8(const QuantizedRows& x, const Int8Panels& w, float* y,
                   const MatMulShape& shape) {
  ForEachOutput(y, shape, [&](int64_t m, int64_t n) {
    float acc = 0.0f;
    for (int64_t g = 0; g < shape.k / kPanelGroup; ++g) {
      const Int8Panels group = w.At(n / kPanelColumns, g, shape.k);
      const QuantizedRows row = x.At(m, g, shape.k);
      const int64_t column = n % kPanelColumns;
      int32_t dot = 0;
      for (int64_t i = 0; i < kPanelGroup; ++i) {
        dot += int32_t{row.q[i]} * group.q[(i / 4 * kPanelColumns + column) * 4 + i % 4];
      }
      acc = std::fma(static_cast<float>(dot), F16ToF32(group.scale[column]) * *row.scale, acc);
    }
    return acc;
  });
}

}  // namespace gyrator

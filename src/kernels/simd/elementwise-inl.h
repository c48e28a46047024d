// Norm, rope, activation, rounding and quantization, over one of the vector layers.
#pragma once

namespace gyrator {
namespace {

// op(offset, lanes) for [0, count) by vectors; the last may be short.
template <class Op>
GYRATOR_SIMD void ForEachVector(int64_t count, Op op) {
  for (int64_t i = 0; i < count; i += kLanes) op(i, count - i < kLanes ? count - i : kLanes);
}

void RoundBf16(const float* x, uint16_t* y, int64_t count) {
  ForEachVector(count, [=](int64_t i, int64_t lanes) {
    if (lanes == kLanes) return StoreLowHalves(y + i, Bf16Bits(Load(x + i)));
    uint16_t last[kLanes];
    StoreLowHalves(last, Bf16Bits(LoadFirst(x + i, lanes)));
    std::memcpy(y + i, last, static_cast<size_t>(lanes) * sizeof(uint16_t));
  });
}

// -128 times the sum of 32 small integers, which f32 holds exactly.
GYRATOR_SIMD int32_t StartOf(const IVec (&q)[2 * kParts]) {
  Vec lanes[kParts];
  for (int p = 0; p < kParts; ++p) lanes[p] = ToFloat(IAdd(q[p], q[p + kParts]));
  return static_cast<int32_t>(-128.0f * Fold(lanes));
}

bool Quantize(const float* x, const QuantizedOut& out, int64_t count) {
  constexpr int kVecs = 2 * kParts;
  const IVec magnitude = ISet(0x7fffffff);
  for (int64_t g = 0; g < count / 32; ++g) {
    Vec values[kVecs];
    Vec amax = Zero();
    Vec bad = Zero();  // lanes of NaN or infinity: their difference with themselves is NaN
    for (int v = 0; v < kVecs; ++v) {
      values[v] = Load(x + g * 32 + v * kLanes);
      bad = Add(bad, Sub(values[v], values[v]));
      amax = Max(amax, FromBits(IAnd(Bits(values[v]), magnitude)));
    }
    if (Any(Unordered(bad))) return false;
    const float top = MaxLane(amax);
    const float scale = top / 127.0f;
    out.scale[g] = scale;
    const Vec inverse = Set(scale == 0.0f ? 0.0f : 127.0f / top);
    IVec rounded[kVecs];
    for (int v = 0; v < kVecs; ++v) rounded[v] = RoundToInt(Mul(values[v], inverse));
    StoreInt8(out.q + g * 32, rounded);
    if (out.start != nullptr) out.start[g] = StartOf(rounded);
  }
  return true;
}

void RmsNorm(const float* x, const float* weight, float* y, int64_t dim, float eps) {
  Vec lanes[kParts] = {};
  for (int64_t i = 0; i < dim; i += 16) {
    for (int p = 0; p < kParts; ++p) {
      const int64_t at = i + p * kLanes;
      if (at >= dim) break;
      const Vec v = LoadFirst(x + at, dim - at);
      lanes[p] = Fma(v, v, lanes[p]);
    }
  }
  const float mean = Fold(lanes) / static_cast<float>(dim);
  const Vec factor = Set(1.0f / std::sqrt(mean + eps));
  ForEachVector(dim, [=](int64_t i, int64_t n) {
    StoreFirst(y + i, Mul(Mul(LoadFirst(x + i, n), factor), LoadFirst(weight + i, n)), n);
  });
}

void Rope(float* x, int64_t num_heads, int64_t head_dim, int64_t rotary_dim, const float* cos,
          const float* sin, RopeStyle style) {
  const int64_t half = rotary_dim / 2;
  for (int64_t h = 0; h < num_heads; ++h) {
    float* head = x + h * head_dim;
    if (style == RopeStyle::kInterleaved) {
      for (int64_t i = 0; i < half; ++i) {
        const float first = head[2 * i];
        const float second = head[2 * i + 1];
        head[2 * i] = first * cos[i] - second * sin[i];
        head[2 * i + 1] = second * cos[i] + first * sin[i];
      }
      continue;
    }
    ForEachVector(half, [=](int64_t i, int64_t n) {
      const Vec first = LoadFirst(head + i, n);
      const Vec second = LoadFirst(head + half + i, n);
      const Vec c = LoadFirst(cos + i, n);
      const Vec s = LoadFirst(sin + i, n);
      StoreFirst(head + i, Sub(Mul(first, c), Mul(second, s)), n);
      StoreFirst(head + half + i, Add(Mul(second, c), Mul(first, s)), n);
    });
  }
}

void SiluMul(const float* gate, const float* up, float* y, int64_t count) {
  ForEachVector(count, [=](int64_t i, int64_t n) {
    const Vec g = LoadFirst(gate + i, n);
    const Vec negated = FromBits(IXor(Bits(g), ISet(INT32_MIN)));
    const Vec silu = Div(g, Add(Set(1.0f), VectorExp(negated)));
    StoreFirst(y + i, Mul(silu, LoadFirst(up + i, n)), n);
  });
}

void AddInPlace(float* x, const float* y, int64_t count) {
  ForEachVector(count, [=](int64_t i, int64_t n) {
    StoreFirst(x + i, Add(LoadFirst(x + i, n), LoadFirst(y + i, n)), n);
  });
}

}  // namespace
}  // namespace gyrator

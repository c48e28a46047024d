#include "model/convert.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/ops.h"
#include "model/weights.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

constexpr int64_t kGroup = 32;          // values of a BlockQ8_0
constexpr int64_t kTile = 512;          // values converted at a time; a multiple of kGroup
constexpr int64_t kGrain = 64 * kTile;  // values of a thread's smallest range

template <class T>
T ReadAt(const std::byte* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// One rounding from f32, or none. False as in Convert.
bool Narrow(const float* values, DType to, int64_t begin, int64_t count, std::byte* out) {
  if (to == DType::kF32) {
    std::memcpy(out + begin * 4, values, static_cast<size_t>(count) * 4);
    return true;
  }
  if (to == DType::kBF16) {
    auto* bf16 = reinterpret_cast<uint16_t*>(out) + begin;
    for (int64_t i = 0; i < count; ++i) bf16[i] = F32ToBF16(values[i]);
    return true;
  }
  auto* blocks = reinterpret_cast<BlockQ8_0*>(out) + begin / kGroup;
  bool ok = true;
  for (int64_t i = 0; i < count; i += kGroup) {
    ok = QuantizeQ8_0(values + i, blocks + i / kGroup) && ok;
  }
  return ok;
}

}  // namespace

bool IsWeightDType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kQ8_0;
}

bool QuantizeQ8_0(const float* x, BlockQ8_0* out) {
  float amax = 0;
  bool finite = true;
  for (int i = 0; i < kGroup; ++i) {
    finite = finite && std::isfinite(x[i]);
    amax = std::max(amax, std::fabs(x[i]));
  }
  const float scale = amax / 127.0f;
  // Below the normal range the f16 scale is 0 anyway, and the inverse would overflow.
  const float inverse = scale >= std::numeric_limits<float>::min() ? 1.0f / scale : 0.0f;
  out->scale = F32ToF16(scale);
  if (!finite || (out->scale & 0x7c00u) == 0x7c00u) return false;
  for (int i = 0; i < kGroup; ++i) {
    // Truncation of |v| + 0.5 would err just below a half; the rest is exact here (|v| < 128).
    const float v = x[i] * inverse;
    const auto whole = static_cast<int32_t>(v);
    const float rest = v - static_cast<float>(whole);
    out->q[i] = static_cast<int8_t>(whole + (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0));
  }
  return true;
}

void Widen(DType dtype, const std::byte* bytes, int64_t begin, int64_t count, float* out) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(out, bytes + begin * 4, static_cast<size_t>(count) * 4);
      return;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) out[i] = F16ToF32(ReadAt<uint16_t>(bytes, begin + i));
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) out[i] = BF16ToF32(ReadAt<uint16_t>(bytes, begin + i));
      return;
    default:  // kQ8_0
      for (int64_t i = 0; i < count; i += kGroup) {
        const auto block = ReadAt<BlockQ8_0>(bytes, (begin + i) / kGroup);
        const float scale = F16ToF32(block.scale);
        for (int j = 0; j < kGroup; ++j) out[i + j] = scale * static_cast<float>(block.q[j]);
      }
  }
}

bool Convert(const TensorView& from, DType to, std::byte* out, ThreadPool* threads) {
  if (from.dtype == to) {
    if (!from.bytes.empty()) std::memcpy(out, from.bytes.data(), from.bytes.size());
    return true;
  }
  std::atomic<bool> ok{true};
  const auto body = [&](int64_t begin, int64_t end) {
    const FloatEnvironment environment;
    float tile[kTile];
    for (int64_t i = begin; i < end; i += kTile) {
      const int64_t count = std::min(kTile, end - i);
      Widen(from.dtype, from.bytes.data(), i, count, tile);
      if (!Narrow(tile, to, i, count, out)) ok.store(false, std::memory_order_relaxed);
    }
  };
  threads->ParallelFor(NumElements(from.shape).value_or(0), kGrain, body);
  return ok.load(std::memory_order_relaxed);
}

bool ScalesAreFinite(const TensorView& blocks, ThreadPool* threads) {
  std::atomic<bool> ok{true};
  const auto body = [&](int64_t begin, int64_t end) {
    uint32_t worst = 0;
    for (int64_t i = begin; i < end; ++i) {
      const auto block = blocks.bytes.data() + i * static_cast<int64_t>(sizeof(BlockQ8_0));
      worst = std::max(worst, uint32_t{ReadAt<uint16_t>(block, 0)} & 0x7c00u);
    }
    if (worst == 0x7c00u) ok.store(false, std::memory_order_relaxed);
  };
  const auto count = static_cast<int64_t>(blocks.bytes.size() / sizeof(BlockQ8_0));
  threads->ParallelFor(count, kGrain / kGroup, body);
  return ok.load(std::memory_order_relaxed);
}

}  // namespace gyrator

#include "model/convert.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/ops.h"
#include "model/weights.h"

namespace gyrator {

namespace {

constexpr int64_t kGroup = 32;          // values of a BlockQ8_0
constexpr int64_t kTile = 512;          // values converted at a time; a multiple of every block
constexpr int64_t kGrain = 64 * kTile;  // values of a thread's smallest range

constexpr float kBelowHalf = 0x1.fffffep-2f;  // the largest f32 below 0.5

// Where value `index` of a tensor begins; `index` is a multiple of the format's block.
int64_t OffsetOf(const WeightFormat& format, int64_t index) {
  return index / format.elements * static_cast<int64_t>(format.bytes);
}

// One rounding from f32, or none. False when kQ8_0 cannot hold a group.
bool Narrow(const float* values, DType to, int64_t count, std::byte* out) {
  if (to == DType::kF32) {
    std::memcpy(out, values, static_cast<size_t>(count) * sizeof(float));
    return true;
  }
  if (to == DType::kBF16) {
    auto* bf16 = reinterpret_cast<uint16_t*>(out);
    for (int64_t i = 0; i < count; ++i) bf16[i] = F32ToBF16(values[i]);
    return true;
  }
  auto* blocks = reinterpret_cast<BlockQ8_0*>(out);
  bool ok = true;
  for (int64_t i = 0; i < count; i += kGroup) {
    ok = QuantizeQ8_0(values + i, blocks + i / kGroup) && ok;
  }
  return ok;
}

// Whether `check` holds for all blocks of the tensor.
bool AllBlocks(const TensorView& view, bool (*check)(const std::byte*, int64_t),
               ThreadPool* threads) {
  const WeightFormat& format = FormatOf(view.dtype);
  std::atomic<bool> ok{true};
  const auto body = [&](int64_t begin, int64_t end) {
    const std::byte* first = view.bytes.data() + begin * static_cast<int64_t>(format.bytes);
    if (!check(first, end - begin)) ok.store(false, std::memory_order_relaxed);
  };
  const auto count = static_cast<int64_t>(view.bytes.size() / format.bytes);
  threads->ParallelFor(count, kGrain / format.elements, body);
  return ok.load(std::memory_order_relaxed);
}

}  // namespace

bool QuantizeQ8_0(const float* x, BlockQ8_0* out) {
  // Magnitudes compare as the integers that their bits are: NaN and infinity are the largest.
  int32_t largest = 0;
  for (int i = 0; i < kGroup; ++i) {
    largest = std::max(largest, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  }
  const float scale = std::bit_cast<float>(largest) / 127.0f;
  // Below the normal range the f16 scale is 0 anyway, and the inverse would overflow.
  const float inverse = scale >= std::numeric_limits<float>::min() ? 1.0f / scale : 0.0f;
  out->scale = F32ToF16(scale);
  if (largest >= 0x7f800000 || (out->scale & 0x7c00u) == 0x7c00u) return false;
  for (int i = 0; i < kGroup; ++i) {
    // To the nearest integer, halves away from zero: adding a half itself would round the values
    // just below one up. (Compared with rounding by cases for every f32 up to 128.)
    const float v = x[i] * inverse;
    out->q[i] = static_cast<int8_t>(static_cast<int32_t>(v + std::copysign(kBelowHalf, v)));
  }
  return true;
}

void Widen(DType dtype, const std::byte* bytes, int64_t begin, int64_t count, float* out) {
  const WeightFormat& format = FormatOf(dtype);
  format.unpack(bytes + OffsetOf(format, begin), count / format.elements, out);
}

DType OperandDType(ComputeType compute) {
  switch (compute) {
    case ComputeType::kF32:
      return DType::kF32;
    case ComputeType::kBF16:
      return DType::kBF16;
    case ComputeType::kInt8:
      return DType::kQ8_0;
  }
  return DType::kF32;
}

Conversion PlanConversion(const TensorView& from, DType to, ThreadPool* threads) {
  const WeightFormat& format = FormatOf(from.dtype);
  const bool has_map = to == DType::kQ8_0 && format.exact_q8 != nullptr;
  const bool exact =
      has_map && (format.fits_q8 == nullptr || AllBlocks(from, format.fits_q8, threads));
  return {.from = from, .to = to, .exact = exact};
}

ConversionFault ConvertRange(const Conversion& conversion, int64_t begin, int64_t count,
                             std::byte* out) {
  const WeightFormat& from = FormatOf(conversion.from.dtype);
  const WeightFormat& to = FormatOf(conversion.to);
  float values[kTile];
  for (int64_t done = 0; done < count; done += kTile) {
    const int64_t piece = std::min(kTile, count - done);
    const std::byte* blocks = conversion.from.bytes.data() + OffsetOf(from, begin + done);
    std::byte* target = out + OffsetOf(to, done);
    const int64_t num_blocks = piece / from.elements;
    if (from.scales_are_finite != nullptr && !from.scales_are_finite(blocks, num_blocks)) {
      return ConversionFault::kScale;
    }
    if (conversion.exact) {
      from.exact_q8(blocks, num_blocks, reinterpret_cast<BlockQ8_0*>(target));
    } else if (from.dtype == to.dtype) {  // bf16 to bf16 keeps even its denormals
      std::memcpy(target, blocks, static_cast<size_t>(num_blocks) * from.bytes);
    } else {
      from.unpack(blocks, num_blocks, values);
      if (!Narrow(values, to.dtype, piece, target)) return ConversionFault::kValue;
    }
  }
  return ConversionFault::kNone;
}

ConversionFault ConvertAll(const Conversion& conversion, std::byte* out, ThreadPool* threads) {
  std::atomic<ConversionFault> fault{ConversionFault::kNone};
  const WeightFormat& to = FormatOf(conversion.to);
  const auto body = [&](int64_t begin, int64_t end) {
    const FloatEnvironment environment;
    const ConversionFault found =
        ConvertRange(conversion, begin, end - begin, out + OffsetOf(to, begin));
    if (found != ConversionFault::kNone) fault.store(found, std::memory_order_relaxed);
  };
  threads->ParallelFor(NumElements(conversion.from.shape).value_or(0), kGrain, body);
  return fault.load(std::memory_order_relaxed);
}

Status FaultStatus(ConversionFault fault, const std::string& name, DType stored) {
  switch (fault) {
    case ConversionFault::kNone:
      return {};
    case ConversionFault::kScale:
      return Status::Corruption("tensor " + name + ": " + std::string(DTypeName(stored)) +
                                ": expected finite scales, found others");
    case ConversionFault::kValue:
      return Status::Corruption("tensor " + name +
                                ": expected finite values within the range of int8 groups, found "
                                "others; use --compute f32 or bf16");
  }
  return {};
}

bool ScalesAreFinite(const TensorView& view, ThreadPool* threads) {
  const WeightFormat& format = FormatOf(view.dtype);
  return format.scales_are_finite == nullptr || AllBlocks(view, format.scales_are_finite, threads);
}

}  // namespace gyrator

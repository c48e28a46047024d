// Blocks of weights: the first byte chooses the format, the rest are blocks. What a format says of
// its blocks holds, and whole tensors convert as single blocks do.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "kernels/ops.h"
#include "model/convert.h"
#include "tensor/weight_format.h"

namespace gyrator {
namespace {

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

// Values of blocks with finite scales are finite, and those of the exact map are the same ones.
void CheckBlocks(const WeightFormat& format, const std::byte* blocks, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const std::byte* block = blocks + i * static_cast<int64_t>(format.bytes);
    float values[256];
    format.unpack(block, 1, values);
    if (!format.scales_are_finite(block, 1)) continue;
    for (int64_t j = 0; j < format.elements; ++j) GYRATOR_CHECK(std::isfinite(values[j]));
    const bool fits = format.fits_q8 == nullptr || format.fits_q8(block, 1);
    if (format.exact_q8 == nullptr || !fits) continue;
    BlockQ8_0 q8;
    format.exact_q8(block, 1, &q8);
    for (int j = 0; j < 32; ++j) {
      GYRATOR_CHECK(SameBits(values[j], F16ToF32(q8.scale) * static_cast<float>(q8.q[j])));
    }
  }
}

// The whole is its blocks, and a scale that is not finite is seen whatever is wanted.
void CheckTensor(const WeightFormat& format, ByteSpan blocks, int64_t count) {
  const TensorView view = {format.dtype, {count * format.elements}, blocks};
  ThreadPool threads(1);
  const bool finite = ScalesAreFinite(view, &threads);
  GYRATOR_CHECK(finite == format.scales_are_finite(blocks.data(), count));
  for (const DType to : {DType::kF32, DType::kBF16, DType::kQ8_0}) {
    const Conversion conversion = PlanConversion(view, to, &threads);
    std::vector<std::byte> whole(*TensorBytes(to, view.shape)), single(whole.size());
    const ConversionFault fault = ConvertAll(conversion, whole.data(), &threads);
    GYRATOR_CHECK((fault == ConversionFault::kScale) == !finite ||
                  fault == ConversionFault::kValue);
    GYRATOR_CHECK(fault != ConversionFault::kValue || conversion.requantizes());
    if (fault != ConversionFault::kNone) continue;
    const FloatEnvironment environment;
    const auto bytes = static_cast<int64_t>(*TensorBytes(to, {format.elements}));
    for (int64_t i = 0; i < count; ++i) {
      GYRATOR_CHECK(ConvertRange(conversion, i * format.elements, format.elements,
                                 single.data() + i * bytes) == ConversionFault::kNone);
    }
    GYRATOR_CHECK(whole == single);
  }
}

}  // namespace
}  // namespace gyrator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  if (size == 0) return 0;
  const WeightFormat& format = FormatOf(static_cast<DType>(data[0]));
  if (!format.is_block()) return 0;
  // In memory of its exact size, so that a sanitizer sees a read past the end.
  const auto count = static_cast<int64_t>((size - 1) / format.bytes);
  const auto* first = reinterpret_cast<const std::byte*>(data + 1);
  const std::vector<std::byte> blocks(first, first + count * static_cast<int64_t>(format.bytes));
  CheckBlocks(format, blocks.data(), count);
  CheckTensor(format, blocks, count);
  return 0;
}

#include "tensor/weight_format.h"

#include <cstring>

#include "tensor/block_formats-inl.h"

namespace gyrator {

namespace {

template <class T>
T ReadAt(const std::byte* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

void UnpackF32(const std::byte* bytes, int64_t count, float* out) {
  std::memcpy(out, bytes, static_cast<size_t>(count) * sizeof(float));
}

void UnpackF16(const std::byte* bytes, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = F16ToF32(ReadAt<uint16_t>(bytes, i));
}

void UnpackBF16(const std::byte* bytes, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = BF16ToF32(ReadAt<uint16_t>(bytes, i));
}

template <class Block, int64_t kElements>
void UnpackAll(const std::byte* blocks, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) Unpack(ReadAt<Block>(blocks, i), out + i * kElements);
}

template <class Block>
bool AllFinite(const std::byte* blocks, int64_t count) {
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) finite &= HasFiniteScales(ReadAt<Block>(blocks, i));
  return finite;
}

template <class Block>
void AllToQ8(const std::byte* blocks, int64_t count, BlockQ8_0* out) {
  for (int64_t i = 0; i < count; ++i) ToQ8(ReadAt<Block>(blocks, i), out + i);
}

template <class Block>
bool AllFitQ8(const std::byte* blocks, int64_t count) {
  bool fit = true;
  for (int64_t i = 0; i < count; ++i) fit &= FitsQ8(ReadAt<Block>(blocks, i));
  return fit;
}

constexpr WeightFormat Element(DType dtype, std::string_view name, uint64_t bytes,
                               void (*unpack)(const std::byte*, int64_t, float*) = nullptr) {
  WeightFormat format;
  format.dtype = dtype;
  format.name = name;
  format.bytes = bytes;
  format.unpack = unpack;
  return format;
}

template <class Block, int64_t kElements>
constexpr WeightFormat BlockFormat(DType dtype, std::string_view name) {
  WeightFormat format;
  format.dtype = dtype;
  format.name = name;
  format.elements = kElements;
  format.bytes = sizeof(Block);
  format.unpack = UnpackAll<Block, kElements>;
  format.scales_are_finite = AllFinite<Block>;
  return format;
}

template <class Block>
constexpr WeightFormat ExactFormat(DType dtype, std::string_view name) {
  WeightFormat format = BlockFormat<Block, 32>(dtype, name);
  format.exact_q8 = AllToQ8<Block>;
  return format;
}

template <class Block>
constexpr WeightFormat MostlyExactFormat(DType dtype, std::string_view name) {
  WeightFormat format = ExactFormat<Block>(dtype, name);
  format.fits_q8 = AllFitQ8<Block>;
  return format;
}

constexpr WeightFormat kFormats[] = {
    Element(DType::kF32, "f32", 4, UnpackF32),
    Element(DType::kF16, "f16", 2, UnpackF16),
    Element(DType::kBF16, "bf16", 2, UnpackBF16),
    Element(DType::kI8, "i8", 1),
    Element(DType::kI16, "i16", 2),
    Element(DType::kI32, "i32", 4),
    Element(DType::kI64, "i64", 8),
    Element(DType::kU8, "u8", 1),
    Element(DType::kU16, "u16", 2),
    Element(DType::kU32, "u32", 4),
    Element(DType::kU64, "u64", 8),
    Element(DType::kF64, "f64", 8),
    Element(DType::kBool, "bool", 1),
    ExactFormat<BlockQ8_0>(DType::kQ8_0, "q8_0"),
    ExactFormat<BlockQ4_0>(DType::kQ4_0, "q4_0"),
    BlockFormat<BlockQ4_1, 32>(DType::kQ4_1, "q4_1"),
    ExactFormat<BlockQ5_0>(DType::kQ5_0, "q5_0"),
    BlockFormat<BlockQ5_1, 32>(DType::kQ5_1, "q5_1"),
    BlockFormat<BlockQ2_K, 256>(DType::kQ2_K, "q2_K"),
    BlockFormat<BlockQ3_K, 256>(DType::kQ3_K, "q3_K"),
    BlockFormat<BlockQ4_K, 256>(DType::kQ4_K, "q4_K"),
    BlockFormat<BlockQ5_K, 256>(DType::kQ5_K, "q5_K"),
    BlockFormat<BlockQ6_K, 256>(DType::kQ6_K, "q6_K"),
    ExactFormat<BlockIQ4_NL>(DType::kIQ4_NL, "iq4_nl"),
    BlockFormat<BlockIQ4_XS, 256>(DType::kIQ4_XS, "iq4_xs"),
    MostlyExactFormat<BlockMXFP4>(DType::kMXFP4, "mxfp4"),
};

constexpr bool EachRowIsAtItsDType() {
  for (size_t i = 0; i < std::size(kFormats); ++i) {
    if (static_cast<size_t>(kFormats[i].dtype) != i) return false;
  }
  return true;
}
static_assert(EachRowIsAtItsDType());

constexpr WeightFormat kUnknown = Element(DType::kF32, "unknown", 1);

}  // namespace

const WeightFormat& FormatOf(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  return index < std::size(kFormats) ? kFormats[index] : kUnknown;
}

std::span<const WeightFormat> AllFormats() { return kFormats; }

}  // namespace gyrator

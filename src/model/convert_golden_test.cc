// Stored blocks against the gguf package (tools/golden/weights.py): its f32 bits, and its Q8_0.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/source_path_testing.h"
#include "formats/gguf.h"
#include "formats/npy.h"
#include "kernels/ops.h"
#include "model/convert.h"
#include "model/model_testing.h"
#include "model/weights.h"
#include "tensor/weight_format.h"

namespace gyrator {
namespace {

const std::string kFolder = SourcePath("tests/golden/weights/");

// The bytes of an array of a golden file.
std::vector<std::byte> ArrayBytes(const std::string& name) {
  const auto file = MappedFile::Open(kFolder + name + ".npy");
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  if (!file.ok()) return {};
  const auto array = ParseNpy(file->bytes());
  EXPECT_TRUE(array.ok() && array->IsNative()) << name;
  if (!array.ok()) return {};
  return {array->data.begin(), array->data.end()};
}

// One format with its golden blocks, at an odd address.
struct Golden {
  explicit Golden(const WeightFormat& of) : format(of) {
    const std::string name(of.name);
    const std::vector<std::byte> stored = ArrayBytes(name + ".blocks");
    memory.resize(stored.size() + 1);
    std::ranges::copy(stored, memory.begin() + 1);
    const std::vector<std::byte> f32 = ArrayBytes(name + ".values");
    values.resize(f32.size() / sizeof(float));
    std::memcpy(values.data(), f32.data(), f32.size());
    const std::vector<std::byte> q8 = ArrayBytes(name + ".q8_0");
    quantized.resize(q8.size() / sizeof(BlockQ8_0));
    std::memcpy(quantized.data(), q8.data(), q8.size());
    EXPECT_GE(num_blocks(), 20) << name;
    EXPECT_EQ(num_blocks() * of.elements, static_cast<int64_t>(values.size())) << name;
    EXPECT_EQ(values.size(), 32 * quantized.size()) << name;
  }

  const std::byte* blocks() const { return memory.data() + 1; }
  int64_t num_blocks() const { return static_cast<int64_t>((memory.size() - 1) / format.bytes); }
  TensorView view() const {
    return {format.dtype, {num_blocks() * format.elements}, ByteSpan(memory).subspan(1)};
  }

  const WeightFormat& format;
  std::vector<std::byte> memory;
  std::vector<float> values;
  std::vector<BlockQ8_0> quantized;
};

std::vector<Golden> Goldens() {
  std::vector<Golden> goldens;
  for (const WeightFormat& format : AllFormats()) {
    if (format.is_block()) goldens.emplace_back(format);
  }
  EXPECT_EQ(13u, goldens.size());
  return goldens;
}

TEST(WeightFormatGolden, UnpacksToTheBitsOfThePackage) {
  for (const Golden& golden : Goldens()) {
    SCOPED_TRACE(golden.format.name);
    std::vector<float> out(golden.values.size());
    golden.format.unpack(golden.blocks(), golden.num_blocks(), out.data());
    EXPECT_TRUE(SameBits(out, golden.values));
    // A float environment that flushes denormals changes nothing.
    const FloatEnvironment environment;
    std::ranges::fill(out, NAN);
    golden.format.unpack(golden.blocks(), golden.num_blocks(), out.data());
    EXPECT_TRUE(SameBits(out, golden.values));
  }
}

// The package's blocks reach over what is finite in mxfp4 alone: its exponents 253 and 254.
TEST(WeightFormatGolden, ScalesAreJudgedBlockByBlock) {
  for (const Golden& golden : Goldens()) {
    for (int64_t i = 0; i < golden.num_blocks(); ++i) {
      const std::byte* block = golden.blocks() + i * static_cast<int64_t>(golden.format.bytes);
      const bool beyond = golden.format.dtype == DType::kMXFP4 && block[0] >= std::byte{253};
      EXPECT_EQ(!beyond, golden.format.scales_are_finite(block, 1)) << golden.format.name << i;
    }
  }
}

// Where a format has a map to Q8_0, the map gives the values themselves.
TEST(WeightFormatGolden, ExactMapsKeepEveryBit) {
  int maps = 0;
  for (const Golden& golden : Goldens()) {
    if (golden.format.exact_q8 == nullptr) continue;
    ++maps;
    for (int64_t i = 0; i < golden.num_blocks(); ++i) {
      const std::byte* block = golden.blocks() + i * static_cast<int64_t>(golden.format.bytes);
      if (golden.format.fits_q8 != nullptr && !golden.format.fits_q8(block, 1)) continue;
      BlockQ8_0 q8;
      golden.format.exact_q8(block, 1, &q8);
      for (int j = 0; j < 32; ++j) {
        const float value = F16ToF32(q8.scale) * static_cast<float>(q8.q[j]);
        const float expected = golden.values[static_cast<size_t>(i * 32 + j)];
        ASSERT_EQ(std::bit_cast<uint32_t>(expected), std::bit_cast<uint32_t>(value))
            << golden.format.name << " block " << i << " value " << j;
      }
    }
  }
  EXPECT_EQ(5, maps);  // q8_0, q4_0, q5_0, iq4_nl, mxfp4
}

// An f16 holds 2^-24 to 2^15; mxfp4's scale is 2^(exponent - 128).
TEST(WeightFormat, Mxfp4FitsQ8WhereAnF16HoldsTheScale) {
  const WeightFormat& format = FormatOf(DType::kMXFP4);
  for (int exponent = 0; exponent < 256; ++exponent) {
    std::vector<std::byte> block(17);
    block[0] = static_cast<std::byte>(exponent);
    EXPECT_TRUE(format.fits_q8(block.data(), 1)) << "zeros, exponent " << exponent;
    block[5] = std::byte{0x80};  // the other zero
    EXPECT_TRUE(format.fits_q8(block.data(), 1)) << "zeros, exponent " << exponent;
    block[9] = std::byte{0x10};
    EXPECT_EQ(exponent >= 104 && exponent <= 143, format.fits_q8(block.data(), 1)) << exponent;
  }
}

// Formats without a map: what is made is the package's Q8_0 of the package's values, where its
// scale is finite, and refused where it is not.
TEST(ConvertGolden, RequantizedBlocksAreThePackages) {
  for (const Golden& golden : Goldens()) {
    SCOPED_TRACE(golden.format.name);
    size_t equal = 0;
    for (size_t i = 0; i < golden.quantized.size(); ++i) {
      const BlockQ8_0& expected = golden.quantized[i];
      float unpacked[256];
      const auto block = static_cast<int64_t>(i) * 32 / golden.format.elements;
      Widen(golden.format.dtype, golden.blocks(), block * golden.format.elements,
            golden.format.elements, unpacked);
      const float* group = unpacked + static_cast<int64_t>(i) * 32 % golden.format.elements;
      BlockQ8_0 found;
      const bool finite = (expected.scale & 0x7c00) != 0x7c00;
      ASSERT_EQ(finite, QuantizeQ8_0(group, &found)) << i;
      if (!finite) continue;
      ASSERT_EQ(expected.scale, found.scale) << i;
      // Below the smallest normal f32 the package still divides; the scale is zero either way.
      if (expected.scale == 0 && found.scale == 0) continue;
      ASSERT_EQ(0, std::memcmp(expected.q, found.q, 32)) << i;
      ++equal;
    }
    EXPECT_GT(equal, golden.quantized.size() / 2);
  }
}

// A tensor of all golden blocks whose values Q8_0 can hold, by ranges and as a whole.
TEST(ConvertGolden, RangesAndThreadsChangeNothing) {
  for (const Golden& golden : Goldens()) {
    SCOPED_TRACE(golden.format.name);
    const int64_t plain = golden.format.elements == 32 ? 24 : 8;  // blocks with usual scales
    constexpr int64_t kCopies = 600;                              // so that all threads have some
    std::vector<std::byte> stored;
    for (int64_t i = 0; i < kCopies; ++i) {
      stored.insert(stored.end(), golden.blocks(),
                    golden.blocks() + plain * static_cast<int64_t>(golden.format.bytes));
    }
    const int64_t count = kCopies * plain * golden.format.elements;
    const TensorView view = {golden.format.dtype, {count}, stored};
    ThreadPool one(1), two(2);
    for (const DType to : {DType::kF32, DType::kBF16, DType::kQ8_0}) {
      const Conversion conversion = PlanConversion(view, to, &two);
      EXPECT_EQ(to == DType::kQ8_0 && golden.format.exact_q8 != nullptr, conversion.exact);
      EXPECT_EQ(to == DType::kQ8_0 && golden.format.exact_q8 == nullptr, conversion.requantizes());
      const uint64_t bytes = *TensorBytes(to, {count});
      std::vector<std::byte> whole(bytes), by_two(bytes), by_rows(bytes);
      ASSERT_EQ(ConversionFault::kNone, ConvertAll(conversion, whole.data(), &one));
      ASSERT_EQ(ConversionFault::kNone, ConvertAll(conversion, by_two.data(), &two));
      const int64_t row = plain * golden.format.elements;
      const auto row_bytes = static_cast<int64_t>(*TensorBytes(to, {row}));
      const FloatEnvironment environment;
      for (int64_t i = 0; i < kCopies; ++i) {
        ASSERT_EQ(ConversionFault::kNone,
                  ConvertRange(conversion, i * row, row, by_rows.data() + i * row_bytes));
      }
      EXPECT_EQ(whole, by_two);
      EXPECT_EQ(whole, by_rows);
      if (to == DType::kF32) {
        EXPECT_EQ(0, std::memcmp(whole.data(), golden.values.data(),
                                 static_cast<size_t>(row) * sizeof(float)));
      }
    }
  }
}

// One scale that no f16 holds, and all of the tensor is quantized anew.
TEST(Convert, Mxfp4GoesOneWayAsAWhole) {
  std::vector<std::byte> blocks(17 * 64, std::byte{0x21});
  for (size_t i = 0; i < 64; ++i) blocks[17 * i] = std::byte{120};
  const TensorView view = {DType::kMXFP4, {2, 1024}, blocks};
  ThreadPool threads(2);
  EXPECT_TRUE(PlanConversion(view, DType::kQ8_0, &threads).exact);
  EXPECT_FALSE(PlanConversion(view, DType::kBF16, &threads).requantizes());
  blocks[17 * 63] = std::byte{103};
  const Conversion conversion = PlanConversion(view, DType::kQ8_0, &threads);
  EXPECT_FALSE(conversion.exact);
  EXPECT_TRUE(conversion.requantizes());
  std::vector<BlockQ8_0> out(64);
  ASSERT_EQ(ConversionFault::kNone,
            ConvertAll(conversion, reinterpret_cast<std::byte*>(out.data()), &threads));
  float values[32];
  Widen(DType::kMXFP4, blocks.data(), 0, 32, values);
  BlockQ8_0 expected;
  ASSERT_TRUE(QuantizeQ8_0(values, &expected));
  EXPECT_EQ(0, std::memcmp(&expected, out.data(), sizeof(expected)));
}

// f32, f16 and bf16 are quantized once, by whoever loads them.
TEST(Convert, TypesWithoutBlocksAreNotRequantized) {
  ThreadPool threads(1);
  const std::vector<std::byte> zeros(32 * 4);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const ByteSpan bytes = ByteSpan(zeros).first(*TensorBytes(dtype, {32}));
    EXPECT_FALSE(PlanConversion({dtype, {32}, bytes}, DType::kQ8_0, &threads).requantizes());
  }
}

}  // namespace
}  // namespace gyrator

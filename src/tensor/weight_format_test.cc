#include "tensor/weight_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace gyrator {
namespace {

TEST(WeightFormat, RowsAreWhatTheirDTypeSays) {
  std::set<std::string_view> names;
  for (const WeightFormat& format : AllFormats()) {
    EXPECT_EQ(&format, &FormatOf(format.dtype));
    EXPECT_EQ(format.name, DTypeName(format.dtype));
    EXPECT_EQ(format.elements, LayoutOf(format.dtype).elements);
    EXPECT_EQ(format.bytes, LayoutOf(format.dtype).bytes);
    EXPECT_TRUE(names.insert(format.name).second) << format.name;
    // Only blocks have scales, and what is mapped to Q8_0 is in groups of 32.
    EXPECT_EQ(format.is_block(), format.scales_are_finite != nullptr) << format.name;
    EXPECT_TRUE(format.exact_q8 == nullptr || format.elements == 32) << format.name;
    EXPECT_TRUE(format.fits_q8 == nullptr || format.exact_q8 != nullptr) << format.name;
    EXPECT_TRUE(format.is_weight() || !format.is_block()) << format.name;
  }
  EXPECT_EQ(26u, names.size());
}

TEST(WeightFormat, SizesOfBlocksAreThoseOfGguf) {
  const struct {
    const char* name;
    int64_t elements;
    uint64_t bytes;
  } blocks[] = {{"q8_0", 32, 34},   {"q4_0", 32, 18},   {"q4_1", 32, 20},   {"q5_0", 32, 22},
                {"q5_1", 32, 24},   {"q2_K", 256, 84},  {"q3_K", 256, 110}, {"q4_K", 256, 144},
                {"q5_K", 256, 176}, {"q6_K", 256, 210}, {"iq4_nl", 32, 18}, {"iq4_xs", 256, 136},
                {"mxfp4", 32, 17}};
  size_t found = 0;
  for (const auto& block : blocks) {
    for (const WeightFormat& format : AllFormats()) {
      if (format.name != block.name) continue;
      ++found;
      EXPECT_EQ(block.elements, format.elements) << block.name;
      EXPECT_EQ(block.bytes, format.bytes) << block.name;
    }
  }
  EXPECT_EQ(std::size(blocks), found);
}

TEST(WeightFormat, AValueThatIsNoDTypeIsUnknown) {
  const WeightFormat& format = FormatOf(static_cast<DType>(200));
  EXPECT_EQ("unknown", format.name);
  EXPECT_FALSE(format.is_weight());
}

// Where the scales of a block are: each is told when it is NaN or infinite, and nothing else is.
TEST(WeightFormat, EveryScaleIsLookedAt) {
  const struct {
    DType dtype;
    std::vector<size_t> offsets;
  } formats[] = {{DType::kQ8_0, {0}},   {DType::kQ4_0, {0}},    {DType::kQ4_1, {0, 2}},
                 {DType::kQ5_0, {0}},   {DType::kQ5_1, {0, 2}}, {DType::kQ2_K, {80, 82}},
                 {DType::kQ3_K, {108}}, {DType::kQ4_K, {0, 2}}, {DType::kQ5_K, {0, 2}},
                 {DType::kQ6_K, {208}}, {DType::kIQ4_NL, {0}},  {DType::kIQ4_XS, {0}}};
  for (const auto& [dtype, offsets] : formats) {
    const WeightFormat& format = FormatOf(dtype);
    SCOPED_TRACE(format.name);
    std::vector<std::byte> blocks(3 * format.bytes, std::byte{0xff});
    for (size_t block = 0; block < 3; ++block) {
      for (const size_t offset : offsets)
        blocks[block * format.bytes + offset + 1] = std::byte{0x7b};
    }
    EXPECT_TRUE(format.scales_are_finite(blocks.data(), 3));
    for (size_t block = 0; block < 3; ++block) {
      for (const size_t offset : offsets) {
        std::byte& high = blocks[block * format.bytes + offset + 1];
        for (const int bad : {0x7c, 0xfc, 0x7e, 0xff}) {
          high = static_cast<std::byte>(bad);
          EXPECT_FALSE(format.scales_are_finite(blocks.data(), 3)) << offset << " " << bad;
        }
        high = std::byte{0x7b};
      }
    }
  }
}

TEST(WeightFormat, Mxfp4IsFiniteWhereItsLargestValueIs) {
  const WeightFormat& format = FormatOf(DType::kMXFP4);
  for (int exponent = 0; exponent < 256; ++exponent) {
    std::vector<std::byte> block(17, std::byte{0x77});  // the largest value
    block[0] = static_cast<std::byte>(exponent);
    float values[32];
    format.unpack(block.data(), 1, values);
    EXPECT_EQ(std::isfinite(values[0]), format.scales_are_finite(block.data(), 1)) << exponent;
    EXPECT_EQ(std::ldexp(12.0f, exponent - 128), values[0]) << exponent;
  }
}

}  // namespace
}  // namespace gyrator

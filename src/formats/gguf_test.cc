#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "formats/gguf_writer.h"
#include "tensor/dtype.h"

namespace gyrator {
namespace {

Result<GgufFile> ParseText(std::string_view text) {
  return GgufFile::Parse(AsBytes(text), nullptr);
}

std::string Written(const GgufWriter& writer) {
  std::string out;
  const Status status = writer.Write([&out](ByteSpan bytes) {
    out += AsText(bytes);
    return Status();
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  return out;
}

TEST(Gguf, WriterToReaderKeepsEveryTypeOfValue) {
  GgufWriter writer;
  writer.Set<uint8_t>("u8", 200);
  writer.Set<int8_t>("i8", -100);
  writer.Set<uint16_t>("u16", 60000);
  writer.Set<int16_t>("i16", -30000);
  writer.Set<uint32_t>("u32", 4000000000u);
  writer.Set<int32_t>("i32", -2000000000);
  writer.Set<uint64_t>("u64", 1ull << 63);
  writer.Set<int64_t>("i64", -(1ll << 62));
  writer.Set<float>("f32", 0.1f);
  writer.Set<double>("f64", 0.1);
  writer.Set<bool>("bool", true);
  writer.Set<std::string_view>("string", "text");
  const std::vector<std::string> words = {"a", "", "long enough to be on the heap, surely"};
  writer.SetArray<std::string>("words", words);
  writer.SetArray<float>("floats", std::array{1.5f, -2.5f});
  writer.SetArray<int32_t>("none", std::span<const int32_t>());
  const std::string text = Written(writer);
  const auto file = ParseText(text);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(3u, file->version());
  EXPECT_EQ(200, *file->Get<int32_t>("u8"));
  EXPECT_EQ(-100, *file->Get<int64_t>("i8"));
  EXPECT_EQ(60000u, *file->Get<uint32_t>("u16"));
  EXPECT_EQ(-30000, *file->Get<int32_t>("i16"));
  EXPECT_EQ(4000000000u, *file->Get<uint64_t>("u32"));
  EXPECT_EQ(-2000000000, *file->Get<int32_t>("i32"));
  EXPECT_EQ(1ull << 63, *file->Get<uint64_t>("u64"));
  EXPECT_EQ(-(1ll << 62), *file->Get<int64_t>("i64"));
  EXPECT_EQ(0.1f, *file->Get<float>("f32"));
  EXPECT_EQ(0.1, *file->Get<double>("f64"));
  EXPECT_TRUE(*file->Get<bool>("bool"));
  EXPECT_EQ("text", *file->Get<std::string_view>("string"));
  EXPECT_EQ((std::vector<std::string_view>(words.begin(), words.end())),
            *file->GetArray<std::string_view>("words"));
  EXPECT_EQ((std::vector<float>{1.5f, -2.5f}), *file->GetArray<float>("floats"));
  EXPECT_TRUE(file->GetArray<int32_t>("none")->empty());
  EXPECT_EQ(15u, file->keys().size());
}

TEST(Gguf, GettersRefuseAbsentForeignAndTooLarge) {
  GgufWriter writer;
  writer.Set<uint32_t>("big", 4000000000u);
  writer.Set<int32_t>("negative", -1);
  writer.Set<std::string_view>("text", "t");
  writer.SetArray<int32_t>("mixed", std::array{1, -1});
  const std::string text = Written(writer);
  const auto file = ParseText(text);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(Code::kNotFound, file->Get<int32_t>("absent").status().code());
  EXPECT_EQ(7, *file->GetOr<int32_t>("absent", 7));
  EXPECT_EQ(Code::kCorruption, file->GetOr<int32_t>("text", 7).status().code());
  EXPECT_EQ(Code::kCorruption, file->Get<int32_t>("big").status().code());
  EXPECT_EQ(Code::kCorruption, file->Get<uint64_t>("negative").status().code());
  EXPECT_EQ(Code::kCorruption, file->Get<float>("big").status().code());
  EXPECT_EQ(Code::kCorruption, file->Get<bool>("big").status().code());
  EXPECT_EQ(Code::kCorruption, file->Get<std::string_view>("big").status().code());
  EXPECT_EQ(Code::kCorruption, file->GetArray<int32_t>("big").status().code());
  EXPECT_EQ(Code::kCorruption, file->GetArray<uint32_t>("mixed").status().code());
  EXPECT_EQ(Code::kNotFound, file->GetArray<float>("absent").status().code());
  EXPECT_NE(std::string::npos, file->Get<int32_t>("big").status().message().find("'big'"));
}

TEST(GgufWriter, StreamsTensorsAndTheReaderFindsThem) {
  GgufWriter writer;
  const std::array<float, 6> values = {1, 2, 3, 4, 5, 6};
  writer.AddTensor("matrix", DType::kF32, {2, 3}, std::as_bytes(std::span(values)));
  BlockQ8_0 block = {0x3c00, {}};
  block.q[31] = -127;
  writer.AddTensor("blocks", DType::kQ8_0, {3, 32}, [&block](const ByteSink& sink) {
    for (int row = 0; row < 3; ++row) {
      GYRATOR_RETURN_IF_ERROR(sink(std::as_bytes(std::span(&block, 1))));
    }
    return Status();
  });
  const std::string path = testing::TempDir() + "/streamed.gguf";
  ASSERT_TRUE(writer.WriteFile(path).ok());
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const auto matrix = file->tensors().Get("matrix");
  ASSERT_TRUE(matrix.ok());
  EXPECT_EQ((Shape{2, 3}), matrix->shape);
  EXPECT_EQ(DType::kF32, matrix->dtype);
  ASSERT_EQ(sizeof(values), matrix->bytes.size());
  EXPECT_EQ(0, std::memcmp(values.data(), matrix->bytes.data(), sizeof(values)));
  const auto blocks = file->tensors().Get("blocks");
  ASSERT_TRUE(blocks.ok());
  EXPECT_EQ((Shape{3, 32}), blocks->shape);
  EXPECT_EQ(3 * sizeof(BlockQ8_0), blocks->bytes.size());
  EXPECT_EQ(0, std::memcmp(&block, blocks->bytes.data() + 2 * sizeof(block), sizeof(block)));
  EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(blocks->bytes.data()) % 32);
  EXPECT_EQ(Code::kNotFound, file->tensors().Get("absent").status().code());
}

}  // namespace
}  // namespace gyrator

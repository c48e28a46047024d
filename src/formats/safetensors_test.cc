#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

namespace gyrator {
namespace {

Result<SafetensorsFile> ParseText(std::string_view text) {
  return ParseSafetensors(AsBytes(text), nullptr);
}

// A file with this header and `data_bytes` zeros.
std::string FileOf(std::string_view header, size_t data_bytes) {
  const uint64_t size = header.size();
  std::string text(reinterpret_cast<const char*>(&size), sizeof(size));
  return text + std::string(header) + std::string(data_bytes, '\0');
}

void WriteText(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string EmptyFolder(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

TEST(Safetensors, WriterToReaderKeepsTensorsAndMetadata) {
  SafetensorsWriter writer;
  writer.SetMetadata("format", "pt");
  const std::array<float, 6> values = {1, 2, 3, 4, 5, 6};
  const std::array<uint8_t, 3> small = {7, 8, 9};
  writer.AddTensor("small", DType::kU8, {3}, std::as_bytes(std::span(small)));
  writer.AddTensor("matrix", DType::kF32, {2, 3}, std::as_bytes(std::span(values)));
  writer.AddTensor("scalar", DType::kBF16, {}, AsBytes("\x80\x3f"));
  writer.AddTensor("empty", DType::kI64, {0, 5}, ByteSpan());
  const std::string path = testing::TempDir() + "/round.safetensors";
  ASSERT_TRUE(writer.WriteFile(path).ok());
  const auto file = OpenSafetensors(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ("pt", file->metadata.at("format"));
  EXPECT_EQ(4u, file->tensors.entries().size());
  const auto matrix = file->tensors.Get("matrix");
  ASSERT_TRUE(matrix.ok());
  EXPECT_EQ((Shape{2, 3}), matrix->shape);
  EXPECT_EQ(DType::kF32, matrix->dtype);
  EXPECT_EQ(0, std::memcmp(values.data(), matrix->bytes.data(), sizeof(values)));
  EXPECT_EQ(Shape{}, file->tensors.Get("scalar")->shape);
  EXPECT_EQ((Shape{0, 5}), file->tensors.Get("empty")->shape);
  EXPECT_EQ(Code::kNotFound, file->tensors.Get("absent").status().code());
}

TEST(Safetensors, ForeignTypesAreListedAndRefusedWhenUsed) {
  const std::string text = FileOf(R"({"f8":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},)"
                                  R"("f4":{"dtype":"F4","shape":[2,2],"data_offsets":[4,6]},)"
                                  R"("new":{"dtype":"POSIT9","shape":[5],"data_offsets":[6,9]}})",
                                  9);
  const auto file = ParseText(text);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  for (const char* name : {"f8", "f4", "new"}) {
    const auto tensor = file->tensors.Get(name);
    ASSERT_FALSE(tensor.ok());
    EXPECT_EQ(Code::kUnsupported, tensor.status().code());
    EXPECT_NE(std::string::npos, tensor.status().message().find(name));
  }
  EXPECT_NE(std::string::npos, file->tensors.Get("new").status().message().find("POSIT9"));
}

struct BrokenFile {
  const char* what;
  std::string text;
  const char* message;  // part of it
};

std::vector<BrokenFile> BrokenFiles() {
  const std::string a4 = R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const auto one = [](const std::string& tensor, size_t data_bytes) {
    return FileOf("{\"a\":" + tensor + "}", data_bytes);
  };
  std::string huge = FileOf("{}", 0);
  huge[4] = 1;
  return {
      {"empty file", "", "truncated"},
      {"length cut", std::string(7, '\0'), "truncated"},
      {"no header", std::string(8, '\0'), "'{'"},
      {"header longer than the file", std::string("\x10\0\0\0\0\0\0\0{}", 10), "truncated"},
      {"header beyond the limit", huge, "at most 100000000"},
      {"header of 2^64 - 1", std::string(8, '\xff') + "{}", "at most 100000000"},
      {"header begins with a space", FileOf(" {}", 0), "'{'"},
      {"header is an array", FileOf("[]", 0), "'{'"},
      {"header is no json", FileOf("{\"a\"", 0), "json"},
      {"text after the header", FileOf("{} x", 0), "json"},
      {"header is no utf-8", FileOf("{\"\xff\":1}", 0), "json"},
      {"header nested", FileOf(R"({"a":{"shape":[[1]]}})", 0), "nested"},
      {"name twice", FileOf("{" + a4 + "," + a4 + "}", 4), "'a' twice"},
      {"member twice", one(R"({"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]})", 4),
       "'dtype' twice"},
      {"tensor is a number", one("1", 0), "expected an object"},
      {"no dtype", one(R"({"shape":[1],"data_offsets":[0,4]})", 4), "dtype"},
      {"dtype is a number", one(R"({"dtype":1,"shape":[1],"data_offsets":[0,4]})", 4), "dtype"},
      {"no shape", one(R"({"dtype":"F32","data_offsets":[0,4]})", 4), "shape"},
      {"shape is a number", one(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})", 4), "shape"},
      {"negative dimension", one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", 4),
       "whole numbers"},
      {"broken dimension", one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", 4),
       "whole numbers"},
      {"dimension of 2^63",
       one(R"({"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]})", 4),
       "dimension of"},
      {"shape overflows",
       one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})", 4),
       "overflows"},
      {"bytes overflow",
       one(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})", 4),
       "overflows"},
      {"no offsets", one(R"({"dtype":"F32","shape":[1]})", 4), "data_offsets"},
      {"one offset", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})", 4), "data_offsets"},
      {"three offsets", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,8]})", 4),
       "data_offsets"},
      {"offsets backwards", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", 4),
       "data_offsets"},
      {"offsets too wide", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})", 8),
       "expected 4"},
      {"offsets too narrow", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4),
       "expected 8"},
      {"half a byte", one(R"({"dtype":"F4","shape":[3],"data_offsets":[0,2]})", 2), "whole number"},
      {"hole at the start", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", 8), "hole"},
      {"hole", FileOf("{" + a4 + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}})", 6),
       "hole"},
      {"overlap", FileOf("{" + a4 + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})", 4),
       "overlap"},
      {"same bytes twice",
       FileOf("{" + a4 + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4),
       "overlap"},
      {"data cut", FileOf("{" + a4 + "}", 3), "the file has 3"},
      {"bytes after the data", FileOf("{" + a4 + "}", 5), "the file has 5"},
      {"bytes after no tensor", FileOf("{}", 1), "the file has 1"},
      {"metadata is a list", FileOf(R"({"__metadata__":[]})", 0), "__metadata__"},
      {"metadata of a number", FileOf(R"({"__metadata__":{"a":1}})", 0), "__metadata__"},
  };
}

TEST(Safetensors, BrokenFilesAreRefusedByName) {
  for (const BrokenFile& broken : BrokenFiles()) {
    const auto file = ParseText(broken.text);
    ASSERT_FALSE(file.ok()) << broken.what;
    EXPECT_EQ(Code::kCorruption, file.status().code()) << broken.what;
    EXPECT_NE(std::string::npos, file.status().message().find(broken.message))
        << broken.what << ": " << file.status().message();
  }
}

TEST(Safetensors, OddButWholeFilesAreRead) {
  EXPECT_TRUE(ParseText(FileOf("{}", 0)).ok());
  EXPECT_TRUE(ParseText(FileOf("{}      ", 0)).ok());  // the package pads with spaces
  // Order of the header and order of the data are two things.
  const std::string swapped = FileOf(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
                                     R"("none":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},)"
                                     R"("a":{"shape":[],"data_offsets":[0,1],"dtype":"U8"}})",
                                     3);
  const auto file = ParseText(swapped);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ("b", file->tensors.entries()[0].name);
}

TEST(Safetensors, OpenNamesThePath) {
  const std::string path = testing::TempDir() + "/broken.safetensors";
  WriteText(path, "short");
  EXPECT_EQ(0u, OpenSafetensors(path).status().message().find(path));
  EXPECT_EQ(Code::kNotFound, OpenSafetensors(path + ".absent").status().code());
}

TEST(SafetensorsWriter, WrongDeclarationsAreReturnedByWrite) {
  const ByteSink ignore = [](ByteSpan) { return Status(); };
  const auto verdict = [&](const std::function<void(SafetensorsWriter*)>& declare) {
    SafetensorsWriter writer;
    declare(&writer);
    return writer.Write(ignore);
  };
  const ByteSpan four = AsBytes("1234");
  const std::vector<std::pair<const char*, std::function<void(SafetensorsWriter*)>>> cases = {
      {"added twice",
       [&](auto* writer) {
         writer->AddTensor("a", DType::kF32, {1}, four);
         writer->AddTensor("a", DType::kU8, {4}, four);
       }},
      {"no type", [&](auto* writer) { writer->AddTensor("a", DType::kQ8_0, {32}, four); }},
      {"shape", [&](auto* writer) { writer->AddTensor("a", DType::kF32, {-1}, four); }},
      {"reserved",
       [&](auto* writer) { writer->AddTensor("__metadata__", DType::kF32, {1}, four); }},
      {"4 bytes given, expected 8",
       [&](auto* writer) { writer->AddTensor("a", DType::kF32, {2}, four); }},
      {"4 bytes given, expected 3",
       [&](auto* writer) { writer->AddTensor("a", DType::kU8, {3}, four); }},
  };
  for (const auto& [message, declare] : cases) {
    const Status status = verdict(declare);
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << message;
    EXPECT_NE(std::string::npos, status.message().find(message)) << status.message();
  }
}

// ---- Folders ----

// A shard whose tensors hold one byte: the first of the file's name.
void WriteShard(const std::string& folder, const std::string& file_name,
                const std::vector<std::string>& names) {
  SafetensorsWriter writer;
  for (const std::string& name : names) {
    writer.AddTensor(name, DType::kU8, {1}, AsBytes(std::string_view(file_name).substr(0, 1)));
  }
  ASSERT_TRUE(writer.WriteFile(folder + "/" + file_name).ok());
}

constexpr const char* kIndex = "/model.safetensors.index.json";

TEST(SafetensorsFolder, ReadsOneFile) {
  const std::string folder = EmptyFolder("one_file");
  WriteShard(folder, "model.safetensors", {"a", "b"});
  const auto index = OpenSafetensorsFolder(folder);
  ASSERT_TRUE(index.ok()) << index.status().ToString();
  EXPECT_TRUE(index->Contains("a") && index->Contains("b"));
}

TEST(SafetensorsFolder, TakesEachTensorFromTheShardThatTheIndexNames) {
  const std::string folder = EmptyFolder("sharded");
  WriteShard(folder, "1.safetensors", {"a", "b"});
  WriteShard(folder, "2.safetensors", {"b", "c", "unlisted"});
  WriteText(folder + kIndex, R"({"metadata":{"total_size":3},"weight_map":)"
                             R"({"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}})");
  const auto index = OpenSafetensorsFolder(folder);
  ASSERT_TRUE(index.ok()) << index.status().ToString();
  EXPECT_EQ(3u, index->entries().size());
  EXPECT_EQ(2u, index->owners().size());
  EXPECT_EQ("1", AsText(index->Get("a")->bytes));
  EXPECT_EQ("2", AsText(index->Get("b")->bytes));
  EXPECT_EQ("2", AsText(index->Get("c")->bytes));
}

TEST(SafetensorsFolder, BrokenFoldersAreRefused) {
  const std::string folder = EmptyFolder("broken_folder");
  EXPECT_EQ(Code::kNotFound, OpenSafetensorsFolder(folder).status().code());
  WriteShard(folder, "1.safetensors", {"a"});
  WriteShard(testing::TempDir(), "outside_1.safetensors", {"a"});
  WriteText(folder + "/bad.safetensors", "bad");
  const std::vector<std::pair<std::string, Code>> cases = {
      {"", Code::kCorruption},
      {"[]", Code::kCorruption},
      {"{}", Code::kCorruption},
      {R"({"weight_map":[]})", Code::kCorruption},
      {R"({"weight_map":{"a":1}})", Code::kCorruption},
      {R"({"weight_map":{"a":""}})", Code::kCorruption},
      {R"({"weight_map":{"a":".."}})", Code::kCorruption},
      {R"({"weight_map":{"a":"../outside_1.safetensors"}})", Code::kCorruption},
      {R"({"weight_map":{"a":"/1.safetensors"}})", Code::kCorruption},
      {R"({"weight_map":{"a":"1.safetensors\u0000"}})", Code::kCorruption},
      {R"({"weight_map":{"a":"1.safetensors","a":"1.safetensors"}})", Code::kCorruption},
      {R"({"weight_map":{"b":"1.safetensors"}})", Code::kCorruption},
      {R"({"weight_map":{"a":"bad.safetensors"}})", Code::kCorruption},
      {R"({"weight_map":{"a":"2.safetensors"}})", Code::kNotFound},
  };
  for (const auto& [text, code] : cases) {
    WriteText(folder + kIndex, text);
    EXPECT_EQ(code, OpenSafetensorsFolder(folder).status().code()) << text;
  }
  WriteText(folder + kIndex, R"({"weight_map":{"a":")" + std::string(256, 'a') + R"("}})");
  EXPECT_EQ(Code::kCorruption, OpenSafetensorsFolder(folder).status().code());
  WriteText(folder + kIndex, R"({"weight_map":{"a":"1.safetensors"}})");
  EXPECT_TRUE(OpenSafetensorsFolder(folder).ok());
}

}  // namespace
}  // namespace gyrator

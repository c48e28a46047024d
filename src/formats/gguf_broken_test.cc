// Enumerated broken GGUF files, built byte by byte, each with its verdict.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace gyrator {
namespace {

// Appends what it is told, right or wrong.
class Bytes {
 public:
  Bytes& Raw(std::string_view raw) {
    text_ += raw;
    return *this;
  }
  template <class T>
  Bytes& Num(T value) {
    return Raw({reinterpret_cast<const char*>(&value), sizeof(T)});
  }
  Bytes& U32(uint32_t value) { return Num(value); }
  Bytes& U64(uint64_t value) { return Num(value); }
  Bytes& Str(std::string_view value) { return U64(value.size()).Raw(value); }
  Bytes& Zeros(size_t count) { return Raw(std::string(count, '\0')); }
  Bytes& Head(uint64_t num_tensors, uint64_t num_values) {
    return Raw("GGUF").U32(3).U64(num_tensors).U64(num_values);
  }
  Bytes& Key(std::string_view key, GgufType type) {
    return Str(key).U32(static_cast<uint32_t>(type));
  }
  Bytes& Tensor(std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type,
                uint64_t offset) {
    Str(name).U32(static_cast<uint32_t>(dims.size()));
    for (uint64_t dim : dims) U64(dim);
    return U32(type).U64(offset);
  }
  Bytes& Align(size_t to = 32) { return Zeros((to - text_.size() % to) % to); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ4_K = 12;
constexpr uint32_t kIQ2_XXS = 16;  // read by nobody here
constexpr uint64_t kHuge = ~uint64_t{0};

struct BrokenFile {
  const char* what;
  Bytes bytes;
  Code code;
  const char* message;  // part of it
};

std::vector<BrokenFile> BrokenHeads() {
  const Code bad = Code::kCorruption;
  const Code foreign = Code::kUnsupported;
  return {
      {"empty file", Bytes(), bad, "truncated"},
      {"magic cut", Bytes().Raw("GGU"), bad, "truncated"},
      {"wrong magic", Bytes().Raw("GGML").U32(3).U64(0).U64(0), bad, "magic"},
      {"no version", Bytes().Raw("GGUF"), bad, "truncated"},
      {"version 0", Bytes().Raw("GGUF").U32(0).U64(0).U64(0), foreign, "version 0"},
      {"version 1", Bytes().Raw("GGUF").U32(1).U32(0).U32(0), foreign, "version 1"},
      {"version 4", Bytes().Raw("GGUF").U32(4).U64(0).U64(0), foreign, "version 4"},
      {"big-endian", Bytes().Raw("GGUF").U32(0x03000000).U64(0).U64(0), foreign, "big-endian"},
      {"no counts", Bytes().Raw("GGUF").U32(3).U64(0), bad, "truncated"},
      {"2^64 - 1 tensors", Bytes().Head(kHuge, 0), bad, "tensor 0 of"},
      {"2^64 - 1 keys", Bytes().Head(0, kHuge), bad, "metadata key 0 of"},
      {"one key too few", Bytes().Head(0, 2).Key("a", GgufType::kU8).Num(uint8_t{1}), bad,
       "metadata key 1 of 2"},
  };
}

std::vector<BrokenFile> BrokenMetadata() {
  const Code bad = Code::kCorruption;
  const auto key = [](GgufType type) { return Bytes().Head(0, 1).Key("the.key", type); };
  const auto array = [&key](GgufType element, uint64_t count) {
    return key(GgufType::kArray).U32(static_cast<uint32_t>(element)).U64(count);
  };
  const auto alignment = [](uint32_t value) {
    return Bytes().Head(0, 1).Key("general.alignment", GgufType::kU32).U32(value);
  };
  Bytes nested = key(GgufType::kArray);
  for (int i = 0; i < 8; ++i) nested.U32(9).U64(1);
  return {
      {"key longer than the file", Bytes().Head(0, 1).U64(kHuge).Raw("abc"), bad, "truncated"},
      {"key of 65,536 bytes",
       Bytes().Head(0, 1).Key(std::string(65536, 'k'), GgufType::kU8).Num(uint8_t{0}), bad,
       "65536 bytes"},
      {"empty key", Bytes().Head(0, 1).Key("", GgufType::kU8).Num(uint8_t{0}), bad, "0 bytes"},
      {"no type", Bytes().Head(0, 1).Str("the.key"), bad, "'the.key'"},
      {"type 13", key(static_cast<GgufType>(13)).U64(0), bad, "value type 13"},
      {"no value", key(GgufType::kU32), bad, "'the.key'"},
      {"value cut", key(GgufType::kU64).U32(0), bad, "truncated"},
      {"bool of 2", key(GgufType::kBool).Num(uint8_t{2}), bad, "bool 2"},
      {"string longer than the file", key(GgufType::kString).U64(kHuge), bad, "truncated"},
      {"string cut", key(GgufType::kString).U64(4).Raw("abc"), bad, "truncated"},
      {"array of type 13", array(static_cast<GgufType>(13), 0), bad, "value type 13"},
      {"array without a count", key(GgufType::kArray).U32(0), bad, "truncated"},
      {"array of 2^64 - 1 bytes", array(GgufType::kU8, kHuge), bad, "truncated"},
      {"array whose bytes overflow", array(GgufType::kU32, uint64_t{1} << 62), bad, "truncated"},
      {"array cut", array(GgufType::kU32, 2).U32(1), bad, "truncated"},
      {"array of 2^64 - 1 strings", array(GgufType::kString, kHuge).Str("a"), bad, "truncated"},
      {"string in an array cut", array(GgufType::kString, 2).Str("a").U64(5), bad, "truncated"},
      {"array of bools with a 7", array(GgufType::kBool, 3).Raw({"\0\1\7", 3}), bad, "bool 7"},
      {"array of 2^64 - 1 arrays", array(GgufType::kArray, kHuge), bad, "truncated"},
      {"arrays nested eight deep", nested, Code::kUnsupported, "nested"},
      {"key twice",
       Bytes().Head(0, 2).Key("k", GgufType::kU8).Zeros(1).Key("k", GgufType::kI8).Zeros(1), bad,
       "'k': listed twice"},
      {"alignment 0", alignment(0), bad, "power of two"},
      {"alignment 13", alignment(13), bad, "power of two"},
      {"alignment is a string",
       Bytes().Head(0, 1).Key("general.alignment", GgufType::kString).Str("32"), bad,
       "general.alignment"},
      {"negative alignment",
       Bytes().Head(0, 1).Key("general.alignment", GgufType::kI32).Num(int32_t{-32}), bad,
       "does not fit"},
  };
}

std::vector<BrokenFile> BrokenTensors() {
  const Code bad = Code::kCorruption;
  const auto one = [](std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset,
                      size_t data_bytes) {
    return Bytes().Head(1, 0).Tensor("the.tensor", dims, type, offset).Align().Zeros(data_bytes);
  };
  const std::string name65(65, 'n');
  return {
      {"name longer than the file", Bytes().Head(1, 0).U64(kHuge), bad, "tensor 0 of 1"},
      {"name of 65 bytes", Bytes().Head(1, 0).Tensor(name65, {1}, kF32, 0).Align().Zeros(4), bad,
       "65 bytes"},
      {"empty name", Bytes().Head(1, 0).Tensor("", {1}, kF32, 0).Align().Zeros(4), bad, "0 bytes"},
      {"no shape", Bytes().Head(1, 0).Str("the.tensor"), bad, "'the.tensor'"},
      {"five dimensions", one({1, 1, 1, 1, 1}, kF32, 0, 4), bad, "5 dimensions"},
      {"2^32 - 1 dimensions", Bytes().Head(1, 0).Str("the.tensor").U32(~0u), bad, "dimensions"},
      {"dimensions cut", Bytes().Head(1, 0).Str("the.tensor").U32(2).U64(1), bad, "truncated"},
      {"dimension of 2^63", one({uint64_t{1} << 63}, kF32, 0, 4), bad, "dimension of"},
      {"shape overflows", one({uint64_t{1} << 32, uint64_t{1} << 32}, kF32, 0, 4), bad,
       "overflows"},
      {"bytes overflow", one({(uint64_t{1} << 62) + 1}, kF32, 0, 4), bad, "'the.tensor'"},
      {"no type", Bytes().Head(1, 0).Str("the.tensor").U32(1).U64(1), bad, "truncated"},
      {"no offset", Bytes().Head(1, 0).Str("the.tensor").U32(1).U64(1).U32(0), bad, "truncated"},
      {"rows that no q8_0 block divides", one({33}, 8, 0, 64), bad, "rows of 33"},
      {"scalar q8_0", one({}, 8, 0, 64), bad, "rows of 1"},
      {"rows that no q4_K block divides", one({128}, kQ4_K, 0, 144), bad, "rows of 128"},
      {"offset not aligned", one({1}, kF32, 16, 32), bad, "aligned to 32"},
      {"offset beyond the file", one({1}, kF32, 64, 32), bad, "offset 64"},
      {"offset that overflows", one({16}, kF32, kHuge - 31, 64), bad, "offset"},
      {"data cut", one({3}, kF32, 0, 11), bad, "12 bytes at offset 0 of the data, have 11"},
      {"no data", one({1}, kF32, 0, 0), bad, "have 0"},
      {"no padding, no data", Bytes().Head(1, 0).Tensor("the.tensor", {1}, kF32, 0), bad, "have 0"},
      {"foreign data cut", one({256}, kIQ2_XXS, 0, 65), bad, "66 bytes"},
      {"unknown type beyond the file", one({1}, 99, 64, 32), bad, "offset 64"},
      {"a petabyte that is not there", one({1000000, 1000000, 1000}, kF32, 0, 4), bad, "have 4"},
      {"name twice",
       Bytes().Head(2, 0).Tensor("t", {1}, kF32, 0).Tensor("t", {1}, kF32, 32).Align().Zeros(64),
       bad, "'t': listed twice"},
      {"overlap",
       Bytes().Head(2, 0).Tensor("b", {1}, kF32, 32).Tensor("a", {9}, kF32, 0).Align().Zeros(64),
       bad, "'b': overlaps tensor 'a'"},
      {"same bytes",
       Bytes().Head(2, 0).Tensor("a", {1}, kF32, 0).Tensor("b", {1}, kF32, 0).Align().Zeros(64),
       bad, "overlaps"},
      {"one tensor too few", Bytes().Head(2, 0).Tensor("a", {1}, kF32, 0).Align().Zeros(4), bad,
       "tensor 1"},
  };
}

void ExpectRefused(const std::vector<BrokenFile>& files) {
  for (const BrokenFile& broken : files) {
    const auto file = GgufFile::Parse(AsBytes(broken.bytes.text()), nullptr);
    ASSERT_FALSE(file.ok()) << broken.what;
    EXPECT_EQ(broken.code, file.status().code()) << broken.what << ": " << file.status().message();
    EXPECT_NE(std::string::npos, file.status().message().find(broken.message))
        << broken.what << ": " << file.status().message();
  }
}

TEST(GgufBroken, Heads) { ExpectRefused(BrokenHeads()); }
TEST(GgufBroken, Metadata) { ExpectRefused(BrokenMetadata()); }
TEST(GgufBroken, Tensors) { ExpectRefused(BrokenTensors()); }

// Every block type, by its number in ggml: data that ends one byte early, rows of half a block, and
// a tensor of two rows that is whole.
TEST(GgufBroken, BlockTypes) {
  const struct {
    uint32_t type;
    uint64_t elements, bytes;
    DType dtype;
  } types[] = {
      {2, 32, 18, DType::kQ4_0},    {3, 32, 20, DType::kQ4_1},    {6, 32, 22, DType::kQ5_0},
      {7, 32, 24, DType::kQ5_1},    {8, 32, 34, DType::kQ8_0},    {10, 256, 84, DType::kQ2_K},
      {11, 256, 110, DType::kQ3_K}, {12, 256, 144, DType::kQ4_K}, {13, 256, 176, DType::kQ5_K},
      {14, 256, 210, DType::kQ6_K}, {20, 32, 18, DType::kIQ4_NL}, {23, 256, 136, DType::kIQ4_XS},
      {39, 32, 17, DType::kMXFP4}};
  for (const auto& [type, elements, bytes, dtype] : types) {
    SCOPED_TRACE(DTypeName(dtype));
    const auto file = [type = type](uint64_t columns, uint64_t data_bytes) {
      return Bytes()
          .Head(1, 0)
          .Tensor("the.tensor", {columns, 2}, type, 0)
          .Align()
          .Zeros(data_bytes);
    };
    const Bytes whole = file(elements, 2 * bytes);
    const auto parsed = GgufFile::Parse(AsBytes(whole.text()), nullptr);
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    const auto view = parsed->tensors().Get("the.tensor");
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    EXPECT_EQ(dtype, view->dtype);
    EXPECT_EQ(2 * bytes, view->bytes.size());
    const std::string cut = "have " + std::to_string(2 * bytes - 1);
    const std::string half = "rows of " + std::to_string(elements / 2);
    ExpectRefused({{"cut", file(elements, 2 * bytes - 1), Code::kCorruption, cut.c_str()},
                   {"half", file(elements / 2, 2 * bytes), Code::kCorruption, half.c_str()}});
  }
}

TEST(Gguf, OddButWholeFilesAreRead) {
  const auto parse = [](const Bytes& bytes) {
    return GgufFile::Parse(AsBytes(bytes.text()), nullptr);
  };
  EXPECT_TRUE(parse(Bytes().Head(0, 0)).ok());
  EXPECT_EQ(2u, parse(Bytes().Raw("GGUF").U32(2).U64(0).U64(0))->version());
  // An array of two arrays is walked over; nothing in the program wants one.
  const Bytes nested = Bytes()
                           .Head(0, 2)
                           .Key("n", GgufType::kArray)
                           .U32(9)
                           .U64(2)
                           .U32(0)
                           .U64(3)
                           .Zeros(3)
                           .U32(8)
                           .U64(1)
                           .Str("x")
                           .Key("after", GgufType::kU8)
                           .Zeros(1);
  const auto file = parse(nested);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(0, *file->Get<int32_t>("after"));
  EXPECT_EQ(Code::kCorruption, file->GetArray<int32_t>("n").status().code());
  EXPECT_EQ(Code::kCorruption, file->GetArray<std::string_view>("n").status().code());
  // Tensors in any order, with holes; bytes after the last are not looked at.
  const auto holes = parse(Bytes()
                               .Head(3, 0)
                               .Tensor("b", {2}, kF32, 96)
                               .Tensor("a", {}, kF32, 0)
                               .Tensor("none", {0, 4}, kF32, 0)
                               .Align()
                               .Zeros(120));
  ASSERT_TRUE(holes.ok()) << holes.status().ToString();
  EXPECT_EQ((Shape{4, 0}), holes->tensors().Get("none")->shape);
  EXPECT_EQ(Shape{}, holes->tensors().Get("a")->shape);
}

TEST(Gguf, AlignmentOfTheFileIsUsed) {
  const Bytes bytes = Bytes()
                          .Head(1, 1)
                          .Key("general.alignment", GgufType::kU32)
                          .U32(128)
                          .Tensor("t", {1}, kF32, 128)
                          .Align(128)
                          .Zeros(128)
                          .U32(0x3f800000);
  const auto file = GgufFile::Parse(AsBytes(bytes.text()), nullptr);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(128u, file->alignment());
  EXPECT_EQ(bytes.text().substr(bytes.text().size() - 4), AsText(file->tensors().Get("t")->bytes));
}

TEST(Gguf, ForeignTypesAreListedAndRefusedWhenUsed) {
  const Bytes bytes = Bytes()
                          .Head(2, 0)
                          .Tensor("quantized", {512, 2}, kIQ2_XXS, 0)
                          .Tensor("new", {5}, 99, 288)
                          .Align()
                          .Zeros(320);
  const auto file = GgufFile::Parse(AsBytes(bytes.text()), nullptr);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ((Shape{2, 512}), file->tensors().entries()[0].view.shape);
  const auto quantized = file->tensors().Get("quantized");
  EXPECT_EQ(Code::kUnsupported, quantized.status().code());
  EXPECT_NE(std::string::npos, quantized.status().message().find("'quantized'"));
  EXPECT_NE(std::string::npos, quantized.status().message().find("iq2_xxs"));
  EXPECT_NE(std::string::npos, file->tensors().Get("new").status().message().find("ggml type 99"));
}

TEST(GgufWriter, WrongDeclarationsAreReturnedByWrite) {
  const ByteSpan four = AsBytes("1234");
  const std::vector<std::pair<const char*, std::function<void(GgufWriter*)>>> cases = {
      {"'a': set twice",
       [](auto* writer) {
         writer->template Set<uint8_t>("a", 1);
         writer->template Set<float>("a", 1);
       }},
      {"key of 0 bytes", [](auto* writer) { writer->template Set<uint8_t>("", 1); }},
      {"general.alignment", [](auto* w) { w->template Set<uint32_t>("general.alignment", 64); }},
      {"name of 65 bytes",
       [&](auto* writer) { writer->AddTensor(std::string(65, 'n'), DType::kF32, {1}, four); }},
      {"no type for u16", [&](auto* w) { w->AddTensor("a", DType::kU16, {2}, four); }},
      {"shape [1, 1, 1, 1, 1]",
       [&](auto* writer) { writer->AddTensor("a", DType::kF32, {1, 1, 1, 1, 1}, four); }},
      {"shape [33]", [&](auto* writer) { writer->AddTensor("a", DType::kQ8_0, {33}, four); }},
      {"added twice",
       [&](auto* writer) {
         writer->AddTensor("a", DType::kF32, {1}, four);
         writer->AddTensor("a", DType::kF32, {1}, four);
       }},
      {"4 bytes given, expected 8",
       [&](auto* writer) { writer->AddTensor("a", DType::kF32, {2}, four); }},
      {"4 bytes given, expected 2",
       [&](auto* writer) { writer->AddTensor("a", DType::kF16, {1}, four); }},
  };
  for (const auto& [message, declare] : cases) {
    GgufWriter writer;
    declare(&writer);
    const Status status = writer.Write([](ByteSpan) { return Status(); });
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << message;
    EXPECT_NE(std::string::npos, status.message().find(message)) << status.message();
  }
}

TEST(GgufWriter, FailuresOfSinkAndSourceEndTheWrite) {
  GgufWriter writer;
  writer.AddTensor("t", DType::kF32, {1}, [](const ByteSink&) { return Status::Io("source"); });
  EXPECT_EQ(Code::kIo, writer.Write([](ByteSpan) { return Status(); }).code());
  EXPECT_EQ(Code::kExhausted,
            writer.Write([](ByteSpan) { return Status::Exhausted("sink"); }).code());
}

// A failed write leaves the old file as it was, and no other.
TEST(GgufWriter, AFileAppearsWholeOrNotAtAll) {
  const std::string path = testing::TempDir() + "/whole.gguf";
  GgufWriter good;
  good.Set<uint8_t>("old", 1);
  ASSERT_TRUE(good.WriteFile(path).ok());
  GgufWriter failing;
  failing.AddTensor("t", DType::kF32, {1}, [](const ByteSink&) { return Status::Io("source"); });
  EXPECT_EQ(Code::kIo, failing.WriteFile(path).code());
  EXPECT_TRUE(GgufFile::Open(path)->Has("old"));
  EXPECT_EQ(Code::kNotFound, GgufFile::Open(path + ".partial").status().code());
  EXPECT_EQ(Code::kNotFound, good.WriteFile(path + "/no/folder").code());
}

}  // namespace
}  // namespace gyrator

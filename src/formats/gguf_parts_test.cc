#include "formats/gguf_parts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <vector>

#include "base/source_path_testing.h"
#include "formats/format_testing.h"

namespace gyrator {
namespace {

const std::string kGolden = SourcePath("tests/golden/weights/");

// What a part says of itself, and which tensors it has.
struct Part {
  std::optional<int64_t> no = {}, count = {}, total = {};
  std::vector<std::string> tensors = {};
};

class GgufParts : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/gguf_parts_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  std::string Write(const std::string& name, const Part& part) {
    GgufWriter writer;
    if (part.no) writer.Set<int64_t>("split.no", *part.no);
    if (part.count) writer.Set<int64_t>("split.count", *part.count);
    if (part.total) writer.Set<int64_t>("split.tensors.count", *part.total);
    writer.Set<std::string_view>("from", name);
    for (const std::string& tensor : part.tensors) {
      writer.AddTensor(tensor, DType::kF32, {1}, AsBytes("1234"));
    }
    EXPECT_TRUE(writer.WriteFile(Path(name)).ok());
    return Path(name);
  }

  // Three good parts of five tensors; the path of the first.
  std::string WriteGood() {
    const std::string first =
        Write("m-00001-of-00003.gguf", {.no = 0, .count = 3, .total = 5, .tensors = {"a", "b"}});
    Write("m-00002-of-00003.gguf", {.no = 1, .count = 3, .total = 5, .tensors = {"c", "d"}});
    Write("m-00003-of-00003.gguf", {.no = 2, .count = 3, .total = 5, .tensors = {"e"}});
    return first;
  }

  static void ExpectRefused(const std::string& path, Code code, std::vector<std::string> told) {
    const Status status = OpenGguf(path).status();
    EXPECT_EQ(code, status.code()) << status.ToString();
    for (const std::string& text : told) {
      EXPECT_NE(std::string::npos, status.message().find(text))
          << "'" << text << "' in " << status.message();
    }
  }

  std::string folder_;
};

TEST_F(GgufParts, AreJoinedByTheFirst) {
  const std::string path = WriteGood();
  const auto file = OpenGguf(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(3, file->num_parts());
  EXPECT_EQ(3u, file->tensors().files().size());
  EXPECT_EQ(5u, file->tensors().entries().size());
  EXPECT_TRUE(WalkTensors(file->tensors()));
  EXPECT_EQ("m-00001-of-00003.gguf", *file->Get<std::string_view>("from"));
  // Without OpenGguf a part is a file like any other.
  EXPECT_EQ(2u, GgufFile::Open(path)->tensors().entries().size());
}

TEST_F(GgufParts, OfThePackageHaveTheTensorsOfTheWholeFile) {
  const auto whole = OpenGguf(kGolden + "whole.gguf");
  const auto parts = OpenGguf(kGolden + "parts-00001-of-00003.gguf");
  ASSERT_TRUE(whole.ok()) << whole.status().ToString();
  ASSERT_TRUE(parts.ok()) << parts.status().ToString();
  EXPECT_EQ(1, whole->num_parts());
  ASSERT_EQ(12u, whole->tensors().entries().size());
  ASSERT_EQ(12u, parts->tensors().entries().size());
  for (const auto& entry : whole->tensors().entries()) {
    const auto view = parts->tensors().Get(entry.name);
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    EXPECT_EQ(entry.view.dtype, view->dtype);
    EXPECT_EQ(entry.view.shape, view->shape);
    EXPECT_EQ(AsText(entry.view.bytes), AsText(view->bytes)) << entry.name;
  }
  for (const std::string_view key : whole->keys()) {
    EXPECT_EQ(AsText(whole->Find(key)->bytes), AsText(parts->Find(key)->bytes)) << key;
  }
}

TEST_F(GgufParts, AWholeFileHasOne) {
  EXPECT_EQ(1, OpenGguf(Write("plain.gguf", {.tensors = {"a"}}))->num_parts());
  EXPECT_EQ(1, OpenGguf(Write("one.gguf", {.no = 0, .count = 1, .total = 1}))->num_parts());
  EXPECT_EQ(1, OpenGguf(Write("none.gguf", {.no = 0, .count = 0, .total = 0}))->num_parts());
  // A name is no claim: this file says that it is whole.
  EXPECT_EQ(1, OpenGguf(Write("x-00001-of-00002.gguf", {.tensors = {"a"}}))->num_parts());
}

TEST_F(GgufParts, AnotherPartThanTheFirstNamesTheFirst) {
  WriteGood();
  for (const int no : {2, 3}) {
    const std::string path = Path("m-0000" + std::to_string(no) + "-of-00003.gguf");
    ExpectRefused(path, Code::kInvalidArgument,
                  {path, "part " + std::to_string(no) + " of a GGUF file that is split into 3",
                   "give the first part: " + Path("m-00001-of-00003.gguf")});
    const Status status = CheckIsFirstPart(*GgufFile::Open(path), path);
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << status.ToString();
  }
  ExpectRefused(Write("odd.gguf", {.no = 1, .count = 3, .total = 5}), Code::kInvalidArgument,
                {"give the first part: its name ends in -00001-of-00003.gguf"});
}

TEST_F(GgufParts, AFirstPartOfAnotherNameCannotFindTheOthers) {
  std::filesystem::rename(WriteGood(), Path("renamed.gguf"));
  ExpectRefused(Path("renamed.gguf"), Code::kInvalidArgument,
                {"renamed.gguf: part 1 of", "a name that ends in -00001-of-00003.gguf"});
}

TEST_F(GgufParts, AMissingPartIsNamed) {
  const std::string first = WriteGood();
  std::filesystem::remove(Path("m-00002-of-00003.gguf"));
  ExpectRefused(first, Code::kNotFound,
                {first, "part 2 of a GGUF file that is split into 3", "m-00002-of-00003.gguf"});
}

TEST_F(GgufParts, PartsThatDoNotBelongTogetherAreRefused) {
  const struct {
    const char* what;
    Part part;  // in the place of the second
    const char* told;
  } cases[] = {
      {"other count",
       {.no = 1, .count = 4, .total = 5, .tensors = {"c", "d"}},
       "split.count is 4, expected 3 as in the first part"},
      {"no count", {.no = 1, .total = 5, .tensors = {"c", "d"}}, "'split.count': not in the file"},
      {"no number", {.count = 3, .total = 5, .tensors = {"c", "d"}}, "'split.no': not in the file"},
      {"order",
       {.no = 2, .count = 3, .total = 5, .tensors = {"c", "d"}},
       "split.no is 2, expected 1"},
      {"the first again",
       {.no = 0, .count = 3, .total = 5, .tensors = {"c", "d"}},
       "split.no is 0, expected 1"},
      {"beyond", {.no = 3, .count = 3, .total = 5, .tensors = {"c", "d"}}, "split.no is 3"},
      {"negative", {.no = -1, .count = 3, .total = 5, .tensors = {"c", "d"}}, "split.no"},
      {"tensor twice",
       {.no = 1, .count = 3, .total = 5, .tensors = {"c", "a"}},
       "tensor 'a': listed twice"},
  };
  for (const auto& broken : cases) {
    SCOPED_TRACE(broken.what);
    const std::string first = WriteGood();
    Write("m-00002-of-00003.gguf", broken.part);
    ExpectRefused(first, Code::kCorruption, {"m-00002-of-00003.gguf", broken.told});
  }
}

TEST_F(GgufParts, TheNumberOfTensorsIsThatOfAllParts) {
  const std::string first = WriteGood();
  Write("m-00003-of-00003.gguf", {.no = 2, .count = 3, .total = 5});
  ExpectRefused(first, Code::kCorruption, {"split.tensors.count is 5, found 4 tensors in 3 parts"});
  Write("m-00003-of-00003.gguf", {.no = 2, .count = 3, .total = 5, .tensors = {"e", "f"}});
  ExpectRefused(first, Code::kCorruption, {"found 6 tensors"});
  // A first part that does not say how many there are.
  Write("m-00001-of-00003.gguf", {.no = 0, .count = 3, .tensors = {"a", "b"}});
  EXPECT_EQ(6u, OpenGguf(first)->tensors().entries().size());
}

TEST_F(GgufParts, NumbersThatNoPartHasAreRefused) {
  for (const Part& part :
       {Part{.no = 0, .count = 65536, .total = 1}, Part{.no = 0, .count = -3, .total = 1},
        Part{.no = 5, .count = 5, .total = 1}}) {
    ExpectRefused(Write("n-00001-of-00003.gguf", part), Code::kCorruption, {"split.count"});
  }
}

// A part is parsed like any file.
TEST_F(GgufParts, ADamagedPartIsNamed) {
  const std::string first = WriteGood();
  const std::string second = Path("m-00002-of-00003.gguf");
  std::filesystem::resize_file(second, std::filesystem::file_size(second) - 40);
  ExpectRefused(first, Code::kCorruption, {"m-00002-of-00003.gguf"});
}

TEST_F(GgufParts, NamesOfLaterParts) {
  for (const char* name : {"m-00002-of-00003.gguf", "a-b-12345-of-65535.gguf"}) {
    EXPECT_TRUE(IsNameOfLaterPart(name)) << name;
  }
  for (const char* name :
       {"m-00001-of-00003.gguf", "m.gguf", "m-0002-of-0003.gguf", "-00002-of-00003.gguf",
        "m-00002-of-00003.ggml", "m-0000x-of-00003.gguf"}) {
    EXPECT_FALSE(IsNameOfLaterPart(name)) << name;
  }
}

}  // namespace
}  // namespace gyrator

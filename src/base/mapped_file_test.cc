#include "base/mapped_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace gyrator {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  static std::string TextOf(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }

  const std::string folder_ = testing::TempDir() + "mapped_file_test";
};

TEST_F(MappedFileTest, AFileIsItsBytes) {
  const std::string text = std::string("first\0second\n", 13) + std::string(10'000, 'x') + "end";
  const std::string path = Write("file", text);
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_EQ(text, TextOf(*file));
  EXPECT_EQ(path, file->path());
  EXPECT_EQ(text, *ReadSmallFile(path, text.size()));
}

TEST_F(MappedFileTest, AnEmptyFileHasNoBytes) {
  const std::string path = Write("empty", "");
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_TRUE(file->bytes().empty());
  EXPECT_EQ(path, file->path());
  EXPECT_EQ("", *ReadSmallFile(path, 0));
}

TEST_F(MappedFileTest, MovedItBelongsToOneOnly) {
  auto a = *MappedFile::Open(Write("a", "aaa"));
  auto b = *MappedFile::Open(Write("b", "bb"));
  const std::byte* const bytes = a.bytes().data();
  MappedFile moved(std::move(a));
  EXPECT_EQ(bytes, moved.bytes().data());
  EXPECT_TRUE(a.bytes().empty());
  moved = std::move(b);
  EXPECT_EQ("bb", TextOf(moved));
  EXPECT_TRUE(moved.path().ends_with("/b"));
}

TEST_F(MappedFileTest, WhatIsNoRegularFileIsRefusedByItsKind) {
  const std::string file = Write("file", "x");
  const struct {
    std::string path;
    Code code;
  } kList[] = {{folder_ + "/none", Code::kNotFound},
               {file + "/below", Code::kNotFound},
               {folder_, Code::kInvalidArgument},
               {folder_ + "/" + std::string(300, 'n'), Code::kIo}};
  for (const auto& [path, code] : kList) {
    const Status mapped = MappedFile::Open(path).status();
    EXPECT_EQ(code, mapped.code()) << mapped.ToString();
    EXPECT_NE(std::string::npos, mapped.message().find(path));
    EXPECT_EQ(code, ReadSmallFile(path, 100).status().code());
  }
}

// Who may do without a file must not take a link that leads nowhere for an absent one.
TEST_F(MappedFileTest, ALinkToNothingIsNoAbsentFile) {
  const std::string link = testing::TempDir() + "mapped_file_link";
  std::filesystem::remove(link);
  EXPECT_EQ(ReadSmallFile(link, 100).status().code(), Code::kNotFound);
  std::filesystem::create_symlink(link + "_gone", link);
  EXPECT_EQ(ReadSmallFile(link, 100).status().name(), "dangling");
  EXPECT_EQ(MappedFile::Open(link).status().name(), "dangling");
  std::filesystem::remove(link);
}

TEST_F(MappedFileTest, ASmallFileHasABound) {
  const std::string path = Write("file", "four");
  EXPECT_EQ("four", *ReadSmallFile(path, 4));
  const Status larger = ReadSmallFile(path, 3).status();
  EXPECT_EQ(Code::kExhausted, larger.code());
  EXPECT_NE(std::string::npos, larger.message().find("4 bytes, at most 3"));
}

// Pages that are given back no longer count, and hold the file's bytes when they are read again.
TEST_F(MappedFileTest, ReleasedPagesAreReadAgain) {
  constexpr size_t kPage = 4096, kPages = 64;
  std::string text;
  for (size_t i = 0; i < kPages * kPage; ++i) text += static_cast<char>('a' + i / kPage % 26);
  auto file = MappedFile::Open(Write("released", text));
  ASSERT_TRUE(file.ok());
  const auto resident = [&] {  // pages that this process has mapped (/proc/self/smaps)
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    bool ours = false;
    while (std::getline(maps, line)) {
      if (line.ends_with("/released")) ours = true;
      if (ours && line.starts_with("Rss:")) return std::stoul(line.substr(4)) * 1024 / kPage;
    }
    return 0ul;
  };
  EXPECT_EQ(text, AsText(file->bytes()));
  EXPECT_EQ(kPages, resident());
  file->Release(file->bytes().subspan(1, 10 * kPage));  // whole pages alone: nine
  EXPECT_EQ(kPages - 9, resident());
  file->Release(AsBytes(text));  // not of the file: nothing
  EXPECT_EQ(kPages - 9, resident());
  EXPECT_EQ(text, AsText(file->bytes()));
}

}  // namespace
}  // namespace gyrator

#include "cli/text_input.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/failing_calls_testing.h"

namespace gyrator::cli {
namespace {

namespace fs = std::filesystem;

class TextInput : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "text_input_test_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
    return folder_ + "/" + name;
  }

  std::string folder_;
};

TEST_F(TextInput, FilesPipesAndDevicesAreRead) {
  const std::string text(200'000, 'x');
  EXPECT_EQ(text, *ReadInput(Write("file", text)));
  EXPECT_EQ("", *ReadInput("/dev/null"));
  const std::string fifo = folder_ + "/fifo";
  ASSERT_EQ(0, ::mkfifo(fifo.c_str(), 0600));
  std::thread writer([&] { std::ofstream(fifo) << text; });
  EXPECT_EQ(text, *ReadInput(fifo));
  writer.join();
  int ends[2];
  ASSERT_EQ(0, ::pipe(ends));
  std::thread other([&] {
    EXPECT_EQ(3, ::write(ends[1], "abc", 3));
    ::close(ends[1]);
  });
  EXPECT_EQ("abc", *ReadInput("/dev/fd/" + std::to_string(ends[0])));
  other.join();
  ::close(ends[0]);
}

TEST_F(TextInput, WhatCannotBeReadIsNamed) {
  EXPECT_EQ(Code::kNotFound, ReadInput(folder_ + "/none").status().code());
  const Status folder = ReadInput(folder_).status();
  EXPECT_EQ(Code::kInvalidArgument, folder.code());
  EXPECT_NE(std::string::npos, folder.message().find("found a folder"));
}

TEST_F(TextInput, AnOutputThatIsAnInputIsRefusedUnderEveryName) {
  const std::string input = Write("in", "text"), other = Write("other", "text");
  const std::string link = folder_ + "/link", hard = folder_ + "/hard";
  fs::create_symlink(input, link);
  fs::create_hard_link(input, hard);
  const std::string indirect = folder_ + "/../" + fs::path(folder_).filename().string() + "/in";
  for (const std::string& output : {input, link, hard, indirect}) {
    const Status status = CheckOutput("--out", output, {other, input});
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << output;
    EXPECT_NE(std::string::npos, status.message().find("--out " + output)) << status.message();
  }
  EXPECT_TRUE(CheckOutput("--out", other, {input}).ok());
  EXPECT_TRUE(CheckOutput("--out", folder_ + "/new", {input}).ok());
  EXPECT_TRUE(CheckOutput("--out", input, {folder_ + "/none", ""}).ok());
  EXPECT_TRUE(CheckOutput("--out", "/dev/null", {"/dev/null"}).ok());  // nothing is lost there
}

TEST_F(TextInput, AFolderStandsForItsFiles) {
  fs::create_directories(folder_ + "/model");
  const std::string weights = Write("model/model.safetensors", "weights");
  EXPECT_FALSE(CheckOutput("--out", weights, {folder_ + "/model"}).ok());
  fs::create_directories(folder_ + "/model/additional_chat_templates");
  const std::string deep = Write("model/additional_chat_templates/tool_use.jinja", "template");
  EXPECT_FALSE(CheckOutput("--out", deep, {folder_ + "/model"}).ok());
  EXPECT_EQ(Code::kInvalidArgument, CheckOutput("--out", folder_, {weights}).code());
  EXPECT_EQ(Code::kNotFound, CheckOutput("--out", folder_ + "/none/x", {weights}).code());
  EXPECT_TRUE(CheckOutput("--out", Write("out", ""), {folder_ + "/model"}).ok());
}

TEST_F(TextInput, AFolderThatCannotBeLookedThroughIsAnError) {
  const std::string output = testing::TempDir() + "text_input_output";
  std::ofstream(output) << "kept";
  const std::string folder = testing::TempDir();
  EXPECT_EQ(0, WithoutDirectories([&] {
              return CheckOutput("-o", output, {folder}).code() == Code::kIo ? 0 : 1;
            }));
  std::filesystem::remove(output);
}

TEST_F(TextInput, StandardInputIsAFileToo) {
  const std::string input = Write("in", "text"), other = Write("other", "");
  const int fd = ::open(input.c_str(), O_RDONLY), kept = ::dup(STDIN_FILENO);
  ASSERT_GE(fd, 0);
  ::dup2(fd, STDIN_FILENO);
  const Status same = CheckOutput("--out", input, {"-"}), differs = CheckOutput("-o", other, {"-"});
  if (kept >= 0) ::dup2(kept, STDIN_FILENO);
  ::close(kept);
  ::close(fd);
  EXPECT_FALSE(same.ok());
  EXPECT_TRUE(differs.ok());
}

}  // namespace
}  // namespace gyrator::cli

// A file appears whole or not at all, and nothing that lies in its way is followed or filled.
#include "formats/output_file.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/failing_calls_testing.h"
#include "base/fs.h"

namespace gyrator {
namespace {

class OutputFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/gyrator_output_" + std::to_string(::getpid());
    ASSERT_TRUE(RemoveTree(fs_, root_).ok());
    ASSERT_TRUE(CreateDirectories(fs_, root_).ok());
    path_ = root_ + "/model.gguf";
    partial_ = path_ + ".partial";
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(fs_, root_).ok()); }

  Status Write(const std::string& text) {
    return WriteWholeFile(path_, [&](const ByteSink& sink) { return sink(AsBytes(text)); });
  }
  std::string Content(const std::string& path) {
    const auto text = ReadFile(fs_, path, 1 << 20);
    return text.ok() ? *text : text.status().ToString();
  }

  FileSystem& fs_ = PosixFileSystem();
  std::string root_, path_, partial_;
};

TEST_F(OutputFileTest, ReplacesAndLeavesNothingBeside) {
  ASSERT_TRUE(Write("one").ok());
  ASSERT_TRUE(Write("two").ok());
  EXPECT_EQ("two", Content(path_));
  EXPECT_FALSE(fs_.Stat(partial_).ok());
}

TEST_F(OutputFileTest, AWriterThatFailsLeavesWhatWasThere) {
  ASSERT_TRUE(Write("old").ok());
  const Status status = WriteWholeFile(path_, [](const ByteSink& sink) -> Status {
    GYRATOR_RETURN_IF_ERROR(sink(AsBytes("half")));
    return Status::Cancelled("stopped");
  });
  EXPECT_EQ(Code::kCancelled, status.code());
  EXPECT_EQ("old", Content(path_));
  EXPECT_FALSE(fs_.Stat(partial_).ok());
}

TEST_F(OutputFileTest, APlantedLinkIsReplacedAndNotFollowed) {
  const std::string victim = root_ + "/victim";
  for (const std::string& target : {victim, root_ + "/nothing", root_}) {
    ASSERT_TRUE(ReplaceFile(fs_, victim, AsBytes("precious")).ok());
    ASSERT_EQ(0, ::symlink(target.c_str(), partial_.c_str()));
    ASSERT_TRUE(Write("new").ok()) << target;
    EXPECT_EQ("new", Content(path_));
    EXPECT_EQ("precious", Content(victim));
    EXPECT_FALSE(fs_.Stat(root_ + "/nothing").ok());
    EXPECT_FALSE(fs_.Stat(partial_).ok());
  }
  ASSERT_EQ(0, ::link(victim.c_str(), partial_.c_str()));
  ASSERT_TRUE(Write("newer").ok());
  EXPECT_EQ("precious", Content(victim)) << "a second name of the file";
}

TEST_F(OutputFileTest, WhatAKilledWriterLeftIsReplaced) {
  ASSERT_TRUE(WriteNewFile(fs_, partial_, AsBytes("a longer text than the new one")).ok());
  ASSERT_TRUE(Write("new").ok());
  EXPECT_EQ("new", Content(path_));
  ASSERT_EQ(0, ::mkfifo(partial_.c_str(), 0600));
  ASSERT_TRUE(Write("newer").ok());
  EXPECT_EQ("newer", Content(path_));
}

TEST_F(OutputFileTest, ASecondWriterIsRefusedAndTheFirstGoesOn) {
  Status second;
  const Status first = WriteWholeFile(path_, [&](const ByteSink& sink) -> Status {
    GYRATOR_RETURN_IF_ERROR(sink(AsBytes("fi")));
    second = Write("second");
    return sink(AsBytes("rst"));
  });
  EXPECT_EQ("busy", second.name());
  EXPECT_EQ(Code::kIo, second.code());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ("first", Content(path_));
}

TEST_F(OutputFileTest, ALinkAtThePathIsFollowedAndStays) {
  const std::string real = root_ + "/real";
  ASSERT_TRUE(WriteNewFile(fs_, real, AsBytes("old")).ok());
  ASSERT_EQ(0, ::symlink("real", path_.c_str()));
  ASSERT_TRUE(Write("new").ok());
  EXPECT_EQ("new", Content(real));
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  ASSERT_EQ(0, ::unlink(real.c_str()));
  EXPECT_EQ(Code::kNotFound, Write("lost").code());
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
}

TEST_F(OutputFileTest, APipeIsWrittenIntoAndStays) {
  ASSERT_EQ(0, ::mkfifo(path_.c_str(), 0600));
  std::string found;
  std::thread reader([&] { std::getline(std::ifstream(path_), found); });
  EXPECT_TRUE(Write("through\n").ok());
  reader.join();
  EXPECT_EQ("through", found);
  EXPECT_TRUE(std::filesystem::is_fifo(path_));
  EXPECT_FALSE(fs_.Stat(partial_).ok());
  EXPECT_FALSE(WriteWholeFile(root_, [](const ByteSink&) { return Status(); }).ok());
  EXPECT_TRUE(std::filesystem::is_directory(root_));
}

TEST_F(OutputFileTest, OfWritersAtOnceEachIsWholeOrRefused) {
  constexpr int kWriters = 4, kTurns = 300;
  std::atomic<int> written = 0, odd = 0;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      const std::string half(100, static_cast<char>('a' + writer));
      for (int turn = 0; turn < kTurns; ++turn) {
        const Status status = WriteWholeFile(path_, [&](const ByteSink& sink) -> Status {
          GYRATOR_RETURN_IF_ERROR(sink(AsBytes(half)));
          return sink(AsBytes(half));
        });
        if (!status.ok()) {
          odd += status.name() == "busy" ? 0 : 1;
          continue;
        }
        ++written;
        const std::string found = Content(path_);  // of this writer or of another one, but whole
        odd += found.size() == 200 && found == std::string(200, found[0]) ? 0 : 1;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_GT(written, 0);
  EXPECT_EQ(0, odd);
  EXPECT_FALSE(fs_.Stat(partial_).ok());
}

TEST_F(OutputFileTest, WhatWasTakenAwayWhileItWasWrittenIsNotPutInPlace) {
  ASSERT_TRUE(Write("old").ok());
  const Status status = WriteWholeFile(path_, [&](const ByteSink& sink) -> Status {
    EXPECT_EQ(0, ::unlink(partial_.c_str()));
    EXPECT_TRUE(WriteNewFile(fs_, partial_, AsBytes("another's")).ok());
    return sink(AsBytes("new"));
  });
  EXPECT_EQ(Code::kIo, status.code());
  EXPECT_EQ("old", Content(path_));
  EXPECT_EQ("another's", Content(partial_));
}

TEST_F(OutputFileTest, AFileThatCannotBeLockedIsNotWritten) {
  ASSERT_TRUE(Write("old").ok());
  EXPECT_EQ(0, WithoutCall(SYS_flock, [&] { return Write("new").code() == Code::kIo ? 0 : 1; }));
  EXPECT_EQ("old", Content(path_));
  EXPECT_FALSE(fs_.Stat(partial_).ok());
}

TEST_F(OutputFileTest, TheLimitOfFileSizeIsNoSpaceAndNoSignal) {
  ASSERT_TRUE(Write("old").ok());
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit low = {100, 100};
    ::setrlimit(RLIMIT_FSIZE, &low);
    ::_exit(Write(std::string(1000, 'x')).name() == "no_space" ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ("old", Content(path_));
}

// The new file has its name by then: an error would say that the old one is still there.
TEST_F(OutputFileTest, AFolderThatCannotBeSyncedIsNoFailureOfAFileThatIsThere) {
  ASSERT_TRUE(Write("old").ok());
  EXPECT_EQ(0, WithoutDirectories([&] { return Write("new").ok() ? 0 : 1; }));
  EXPECT_EQ("new", Content(path_));
}

TEST_F(OutputFileTest, AFileThatCannotBeSyncedIsNotPutInPlace) {
  ASSERT_TRUE(Write("old").ok());
  EXPECT_EQ(0, WithoutCall(SYS_fsync, [&] { return Write("new").code() == Code::kIo ? 0 : 1; }));
  EXPECT_EQ("old", Content(path_));
}

}  // namespace
}  // namespace gyrator

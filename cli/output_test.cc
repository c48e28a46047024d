#include "cli/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "cli/environment.h"

namespace gyrator::cli {
namespace {

using ::testing::HasSubstr;

TEST(Output, PrintableDropsControlCharacters) {
  EXPECT_EQ(Printable("a\033[31mb\a\rc\n\td\x7f"), "a[31mbc\n\td");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m\xc3\xa9\xc2\xa0"),
            "31m\xc3\xa9\xc2\xa0");
}

TEST(Output, OneLineJoinsLines) {
  EXPECT_EQ(OneLine("a\nb\r\n\nc"), "a b c");
  EXPECT_EQ(OneLine("\n"), " ");
  EXPECT_EQ(OneLine("plain"), "plain");
}

TEST(Output, BytesText) {
  EXPECT_EQ(BytesText(999), "999 B");
  EXPECT_EQ(BytesText(1234), "1.2 kB");
  EXPECT_EQ(BytesText(5'600'000'000), "5.6 GB");
}

TEST(Output, ColoursOnlyWhereWanted) {
  EXPECT_EQ(Styled(Style::kBold, "x", false), "x");
  EXPECT_EQ(Styled(Style::kBold, "x", true), "\033[1mx\033[0m");
}

TEST(Output, ErrorsCarryNameAndExitCode) {
  testing::internal::CaptureStderr();
  PrintError(Status::Exhausted("capacity 8, cp 8").Named("capacity"), true);
  EXPECT_EQ(
      testing::internal::GetCapturedStderr(),
      R"({"error":{"code":"exhausted","name":"capacity","message":"capacity 8, cp 8","exit":6}})"
      "\n");
  testing::internal::CaptureStderr();
  PrintError(Status::NotFound("no such thing"), false);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "gyrator: no such thing\n");
}

TEST(Output, ProgressIsQuietForQuickWork) {
  ProgressView view({.in = false, .out = false, .err = false, .color = false});
  const Progress progress = view.Callback();
  testing::internal::CaptureStderr();
  for (uint64_t i = 0; i <= 100; ++i) progress("counting", i, 100);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Output, ProgressDrawsABarOnATerminalAndRemovesIt) {
  ProgressView view({.in = true, .out = true, .err = true, .color = true});
  int begun = 0;
  view.set_before_draw([&begun] { ++begun; });
  const Progress progress = view.Callback();
  testing::internal::CaptureStderr();
  progress("counting", 0, 2);
  ::usleep(800'000);
  progress("counting", 1, 2);
  progress("counting", 2, 2);
  const std::string drawn = testing::internal::GetCapturedStderr();
  EXPECT_THAT(drawn, HasSubstr("counting [###############...............]  50 %"));
  EXPECT_TRUE(drawn.ends_with("\r\033[K"));
  EXPECT_EQ(begun, 1);
}

class HomeTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"GYRATOR_HOME", "XDG_DATA_HOME"}) ::unsetenv(name);
    ::setenv("HOME", "/h", 1);
  }
};

TEST_F(HomeTest, OwnVariableFirstThenXdgThenHome) {
  EXPECT_EQ(FindHome()->root, "/h/.local/share/gyrator");
  ::setenv("XDG_DATA_HOME", "/x", 1);
  EXPECT_EQ(FindHome()->root, "/x/gyrator");
  ::setenv("XDG_DATA_HOME", "relative", 1);
  EXPECT_EQ(FindHome()->root, "/h/.local/share/gyrator");
  ::setenv("GYRATOR_HOME", "/g/", 1);
  EXPECT_EQ(FindHome()->root, "/g");
  EXPECT_EQ(FindHome()->contexts, "/g/contexts");
  EXPECT_EQ(FindHome()->digest_cache, "/g/cache/digests");
}

TEST_F(HomeTest, NoPlaceIsAnError) {
  ::unsetenv("HOME");
  EXPECT_EQ(FindHome().status().code(), Code::kNotFound);
}

TEST(ContextLock, OneProcessAtATime) {
  const Home home = {.root = testing::TempDir() + "/lock_home",
                     .contexts = {},
                     .digest_cache = {},
                     .history = {},
                     .locks = testing::TempDir() + "/lock_home/locks"};
  Result<std::unique_ptr<FileLock>> first = LockContext(home, "a");
  ASSERT_TRUE(first.ok()) << first.status().message();
  const Status second = LockContext(home, "a").status();
  EXPECT_EQ(second.code(), Code::kIo);
  EXPECT_EQ(second.name(), "busy");
  EXPECT_THAT(second.message(), HasSubstr("in use by another process"));
  EXPECT_TRUE(LockContext(home, "b").ok());
  first = Status::NotFound("freed");
  EXPECT_TRUE(LockContext(home, "a").ok());
  for (const char* bad : {"", "../a", "a/b", ".hidden"}) {
    EXPECT_EQ(LockContext(home, bad).status().code(), Code::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace gyrator::cli

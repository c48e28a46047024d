#include "cli/output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
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

TEST(Output, PrintableLeavesNoByteThatATerminalObeys) {
  for (int first = 0; first < 256; ++first) {
    for (const std::string tail : {"", "[31m", "\x80",
                                   "\x9b"
                                   "31m",
                                   "\xc2"}) {
      const std::string text = Printable(std::string(1, static_cast<char>(first)) + tail);
      EXPECT_EQ(std::string::npos, text.find('\033')) << first;
      EXPECT_TRUE(IsValidUtf8(text)) << first;
      EXPECT_EQ(std::string::npos, text.find("\xc2\x9b")) << first;
    }
  }
  EXPECT_EQ(Printable("caf\xe9"), "caf\xef\xbf\xbd");
  EXPECT_EQ(Printable("\xe2\x82\xac \xf0\x9f\x98\x80"), "\xe2\x82\xac \xf0\x9f\x98\x80");
}

TEST(Output, ShortenedKeepsWholeCharacters) {
  EXPECT_EQ(Shortened("a\nb"), "a b");
  EXPECT_EQ(Shortened(std::string(60, 'x')), std::string(60, 'x'));
  EXPECT_EQ(Shortened(std::string(59, 'x') + "\xe2\x82\xac"), std::string(59, 'x') + "...");
}

// Sends standard output elsewhere while it lives.
class Redirected {
 public:
  explicit Redirected(int fd) : kept_(::dup(STDOUT_FILENO)) { ::dup2(fd, STDOUT_FILENO); }
  ~Redirected() {
    ::dup2(kept_, STDOUT_FILENO);
    ::close(kept_);
  }
  Redirected(const Redirected&) = delete;
  Redirected& operator=(const Redirected&) = delete;

 private:
  const int kept_;
};

TEST(Output, AFullDiskAndAReaderThatLeftAreTold) {
  const int full = ::open("/dev/full", O_WRONLY);
  ASSERT_GE(full, 0);
  Status json, text;
  {
    const Redirected out(full);
    json = PrintJson({{"a", 1}});
    text = PrintText("a");
  }
  ::close(full);
  EXPECT_EQ(Code::kIo, json.code());
  EXPECT_EQ(Code::kIo, text.code());
  EXPECT_EQ("", json.name());
  int ends[2];
  ASSERT_EQ(0, ::pipe(ends));
  ::close(ends[0]);
  ::signal(SIGPIPE, SIG_IGN);
  {
    const Redirected out(ends[1]);
    json = PrintJson({{"a", 1}});
  }
  ::close(ends[1]);
  EXPECT_EQ("reader_gone", json.name());
}

// What a program writes to a terminal that the test holds the other end of.
TEST(Output, NothingReachesATerminalRaw) {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(master, 0);
  ASSERT_EQ(0, ::grantpt(master));
  ASSERT_EQ(0, ::unlockpt(master));
  const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
  ASSERT_GE(slave, 0);
  {
    const Redirected out(slave);
    EXPECT_TRUE(PrintText("a\033[31mb\x07 \xc2\x9b"
                          "31m\n")
                    .ok());
    EXPECT_TRUE(PrintJson({{"text", "\x7f\xc2\x9b\033"}}).ok());
    EXPECT_TRUE(PrintStyled(Styled(Style::kBold, "x", true)).ok());
  }
  const std::string expected = "a[31mb 31m\r\n{\"text\":\"\\u001b\"}\r\n\033[1mx\033[0m";
  std::string seen;
  char bytes[512];
  while (seen.size() < expected.size()) {
    const ssize_t count = ::read(master, bytes, sizeof(bytes));
    ASSERT_GT(count, 0);
    seen.append(bytes, static_cast<size_t>(count));
  }
  EXPECT_EQ(seen, expected);
  ::close(slave);
  ::close(master);
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

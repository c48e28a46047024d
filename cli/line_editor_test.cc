// Lines that come through a pipe.
#include "cli/line_editor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

namespace gyrator::cli {
namespace {

// What a child whose standard input is a pipe with `text`, written in pieces of a page, makes of
// it.
int WithInput(const std::string& text, const std::function<int(LineSource&)>& read) {
  int ends[2];
  EXPECT_EQ(0, ::pipe(ends));
  ::fcntl(ends[0], F_SETPIPE_SZ, 4096);  // a read gives no more than this
  const pid_t reader = ::fork();
  if (reader == 0) {
    ::close(ends[1]);
    ::dup2(ends[0], STDIN_FILENO);
    const auto lines = MakePlainLines();
    ::_exit(read(*lines));
  }
  ::close(ends[0]);
  for (size_t at = 0; at < text.size();) {
    const ssize_t put = ::write(ends[1], text.data() + at, text.size() - at);
    if (put <= 0) break;
    at += static_cast<size_t>(put);
  }
  ::close(ends[1]);
  int status = 0;
  ::waitpid(reader, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// 0 when the lines of `text` are `expected`.
int Compare(const std::string& text, const std::vector<std::string>& expected) {
  return WithInput(text, [&](LineSource& lines) {
    for (const std::string& line : expected) {
      if (*lines.Next() != line) return 1;
    }
    return *lines.Next() ? 2 : 0;
  });
}

TEST(PlainLines, EndWithALineFeedOrTheInput) {
  EXPECT_EQ(0, Compare("", {}));
  EXPECT_EQ(0, Compare("\n", {""}));
  EXPECT_EQ(0, Compare("a\nb\n", {"a", "b"}));
  EXPECT_EQ(0, Compare("a\r\n\nb", {"a", "", "b"}));
  EXPECT_EQ(0, Compare("a\rb\r", {"a\rb"}));
}

TEST(PlainLines, AreWholeWhereverAReadEnds) {
  for (const size_t length : {4094, 4095, 4096, 4097, 65535, 65536, 65537, 200000}) {
    const std::string first(length, 'x'), second(length + 1, 'y');
    EXPECT_EQ(0, Compare(first + "\n" + second + "\nz", {first, second, "z"})) << length;
  }
  std::string many;
  std::vector<std::string> lines;
  for (int i = 0; i < 20000; ++i) {
    lines.push_back(std::to_string(i));
    many += lines.back() + "\n";
  }
  EXPECT_EQ(0, Compare(many, lines));
}

// Looking at all of a line again after each read of a page takes minutes here.
TEST(PlainLines, OfAnyLengthAreReadInTimeOfTheirLength) {
  const std::string line(size_t{48} << 20, 'x');
  EXPECT_EQ(0, WithInput(line + "\n", [&](LineSource& lines) {
              const auto read = *lines.Next();
              rusage used;
              ::getrusage(RUSAGE_SELF, &used);
              if (read != line) return 1;
              return used.ru_utime.tv_sec < 15 ? 0 : 2;
            }));
}

// A line that had begun is no line: what comes behind it is not known.
TEST(PlainLines, AnInputThatCannotBeReadIsAnErrorAndNoEnd) {
  const pid_t reader = ::fork();
  if (reader == 0) {
    ::dup2(::open("/", O_RDONLY | O_DIRECTORY), STDIN_FILENO);
    ::_exit(MakePlainLines()->Next().status().code() == Code::kIo ? 0 : 1);
  }
  int status = 0;
  ::waitpid(reader, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(PlainLines, AnInputThatDoesNotWaitIsWaitedFor) {
  int ends[2];
  ASSERT_EQ(0, ::pipe2(ends, O_NONBLOCK));
  const pid_t reader = ::fork();
  if (reader == 0) {
    ::close(ends[1]);
    ::dup2(ends[0], STDIN_FILENO);
    const auto lines = MakePlainLines();
    ::_exit(*lines->Next() == "Hello." && !*lines->Next() ? 0 : 1);
  }
  ::close(ends[0]);
  ::usleep(20'000);  // the reader finds nothing at first; if it is slower, it finds all at once
  EXPECT_EQ(7, ::write(ends[1], "Hello.\n", 7));
  ::close(ends[1]);
  int status = 0;
  ::waitpid(reader, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace gyrator::cli

#include "base/posix.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace gyrator {
namespace {

TEST(ErrnoStatus, EveryCauseHasItsCodeAndName) {
  for (const int error : {ENOSPC, EDQUOT, EFBIG}) {
    const Status status = ErrnoStatus("a/b", "write", error);
    EXPECT_EQ(Code::kExhausted, status.code());
    EXPECT_EQ("no_space", status.name());
    EXPECT_TRUE(status.message().starts_with("a/b: write: ")) << status.message();
  }
  EXPECT_EQ(Code::kNotFound, ErrnoStatus("a", "open", ENOENT).code());
  EXPECT_EQ(Code::kNotFound, ErrnoStatus("a", "open", ENOTDIR).code());
  EXPECT_EQ("exists", ErrnoStatus("a", "create", EEXIST).name());
  EXPECT_EQ(Code::kIo, ErrnoStatus("a", "read", EIO).code());
  EXPECT_EQ("io", ErrnoStatus("a", "read", EIO).name());
  for (const int error : {EACCES, EPERM}) {
    EXPECT_EQ(Code::kIo, ErrnoStatus("a", "open", error).code());
    EXPECT_EQ("denied", ErrnoStatus("a", "open", error).name());
  }
}

// In a child, as the limit of a process cannot be raised again: what `run` gives is its exit code;
// -1 when a signal ended it.
template <class Run>
int InChildOfLimit(rlim_t bytes_max, Run run) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit low = {bytes_max, bytes_max};
    ::setrlimit(RLIMIT_FSIZE, &low);
    ::_exit(run());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int WriteBeyondLimit() {
  const int fd = ::memfd_create("limited", 0);
  const char byte = 'x';
  return ::pwrite(fd, &byte, 1, 100) == -1 ? errno : 0;
}

bool IsBlocked() {
  sigset_t now;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
  return ::sigismember(&now, SIGXFSZ) == 1;
}

TEST(ErrnoStatus, NoMemoryIsExhausted) {
  const Status status = ErrnoStatus("file", "mmap", ENOMEM);
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_EQ(status.name(), "memory");
}

TEST(FileSizeSignal, IsRaisedWithoutTheGuardAndNotWithIt) {
  EXPECT_EQ(-1, InChildOfLimit(10, WriteBeyondLimit)) << "the limit ends an unguarded process";
  EXPECT_EQ(EFBIG, InChildOfLimit(10, [] {
              const FileSizeSignalBlocked blocked;
              return WriteBeyondLimit();
            }));
  EXPECT_EQ(EFBIG, InChildOfLimit(10, [] {
              int error = 0;
              {
                const FileSizeSignalBlocked blocked;
                error = WriteBeyondLimit();
              }
              return IsBlocked() ? 1 : error;  // taken away, not only put off
            }));
}

TEST(FileSizeSignal, OneThatWasPendingBeforeStaysSo) {
  EXPECT_EQ(0, InChildOfLimit(10, [] {
              sigset_t signals, pending;
              ::sigemptyset(&signals);
              ::sigaddset(&signals, SIGXFSZ);
              ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
              ::raise(SIGXFSZ);
              {
                const FileSizeSignalBlocked blocked;
              }
              ::sigpending(&pending);
              return ::sigismember(&pending, SIGXFSZ) == 1 && IsBlocked() ? 0 : 1;
            }));
}

TEST(FileSizeSignal, TheErrorOfTheCallIsKept) {
  errno = EFBIG;
  {
    const FileSizeSignalBlocked blocked;
  }
  EXPECT_EQ(EFBIG, errno);
}

TEST(Descriptor, ClosesOnceAndOnlyWhatItOwns) {
  const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    Descriptor first(number);
    Descriptor second(std::move(first));
    EXPECT_EQ(-1, first.get());
    EXPECT_EQ(number, second.get());
    EXPECT_NE(-1, ::fcntl(number, F_GETFD));
  }
  EXPECT_EQ(-1, ::fcntl(number, F_GETFD)) << "still open";
}

}  // namespace
}  // namespace gyrator

#include "base/posix.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

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

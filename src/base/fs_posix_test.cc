// What the real file system does that the one in memory cannot show: modes, syncs, holes, limits.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/failing_calls_testing.h"
#include "base/fs.h"

namespace gyrator {
namespace {

class PosixFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/gyrator_posix_" + std::to_string(::getpid());
    ASSERT_TRUE(RemoveTree(fs_, root_).ok());
    ASSERT_TRUE(CreateDirectories(fs_, root_).ok());
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(fs_, root_).ok()); }

  std::string Path(const std::string& name) { return JoinPath(root_, name); }

  FileSystem& fs_ = PosixFileSystem();
  std::string root_;
};

mode_t ModeOf(const std::string& path) {
  struct stat info;
  EXPECT_EQ(0, ::lstat(path.c_str(), &info)) << path;
  return info.st_mode & 07777;
}

TEST_F(PosixFilesTest, AreForTheirOwnerAloneWhateverTheUmask) {
  for (const mode_t mask : {0000, 0022, 0002}) {
    const mode_t before = ::umask(mask);
    const std::string folder = Path("umask" + std::to_string(mask));
    ASSERT_TRUE(CreateDirectories(fs_, folder + "/inner").ok());
    ASSERT_TRUE(WriteNewFile(fs_, folder + "/file", AsBytes("x")).ok());
    ASSERT_TRUE(ReplaceFile(fs_, folder + "/name", AsBytes("x")).ok());
    ASSERT_TRUE(fs_.Lock(folder + "/lock", LockMode::kExclusive).ok());
    ::umask(before);
    for (const char* made : {"", "/inner"}) EXPECT_EQ(0700u, ModeOf(folder + made)) << mask;
    for (const char* made : {"/file", "/name", "/lock"}) {
      EXPECT_EQ(0600u, ModeOf(folder + made)) << made << " under " << mask;
    }
  }
}

int IsIo(const Status& status) {
  return status.code() == Code::kIo && status.message().find("fsync") != std::string::npos ? 0 : 1;
}

// A sync that does not ask the system would not see that the system cannot.
TEST_F(PosixFilesTest, ASyncIsOneOfTheSystem) {
  EXPECT_EQ(0, WithoutCall(SYS_fsync, [&] {
              const auto file = fs_.CreateFile(Path("synced"));
              return file.ok() && (*file)->Append(AsBytes("x")).ok() ? IsIo((*file)->Sync()) : 2;
            }));
  EXPECT_EQ(0, WithoutCall(SYS_fsync, [&] { return IsIo(fs_.SyncDirectory(root_)); }));
  EXPECT_EQ(0, WithoutCall(SYS_fsync,
                           [&] { return IsIo(WriteNewFile(fs_, Path("new"), AsBytes("x"))); }));
  EXPECT_EQ(0, WithoutCall(SYS_fsync,
                           [&] { return IsIo(ReplaceFile(fs_, Path("replaced"), AsBytes("x"))); }));
  EXPECT_EQ(
      0, WithoutCall(SYS_fdatasync,
                     [&] { return WriteNewFile(fs_, Path("whole"), AsBytes("x")).ok() ? 0 : 1; }))
      << "the sizes of files have to be durable too";
}

TEST_F(PosixFilesTest, AFileBeyondTheLimitOfTheProcessIsNoSpaceAndNoSignal) {
  for (const uint64_t part : {0, 1, 4095}) {  // of what is appended
    const pid_t child = ::fork();
    if (child == 0) {
      const rlimit low = {1000 + part, 1000 + part};
      ::setrlimit(RLIMIT_FSIZE, &low);
      const auto file = fs_.CreateFile(Path("limited" + std::to_string(part)));
      const std::string kept(1000, 'k'), more(5000, 'm');
      if (!file.ok() || !(*file)->Append(AsBytes(kept)).ok()) ::_exit(2);
      const Status status = (*file)->Append(AsBytes(more));
      ::_exit(status.name() == "no_space" && status.code() == Code::kExhausted ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << part << " " << status;
  }
}

TEST_F(PosixFilesTest, HolesAreSeenWhereverTheyAre) {
  const auto make = [&](const std::string& name, off_t size, off_t data_at) {
    const int fd = ::open(Path(name).c_str(), O_WRONLY | O_CREAT, 0600);
    const std::string data(8192, 'd');
    EXPECT_EQ(0, ::ftruncate(fd, size));
    if (data_at >= 0) {
      EXPECT_EQ(8192, ::pwrite(fd, data.data(), data.size(), data_at));
    }
    ::close(fd);
    const auto file = fs_.OpenForRead(Path(name));
    return file.ok() && (*file)->has_holes();
  };
  EXPECT_TRUE(make("all", 1 << 20, -1));
  EXPECT_TRUE(make("end", 1 << 20, 0));
  EXPECT_TRUE(make("begin", 1 << 20, (1 << 20) - 8192));
  EXPECT_TRUE(make("middle", 1 << 20, 1 << 19));
  EXPECT_FALSE(make("none", 8192, 0));
  EXPECT_FALSE(make("empty", 0, -1));
  ASSERT_TRUE(WriteNewFile(fs_, Path("zeros"), AsBytes(std::string(1 << 20, '\0'))).ok());
  EXPECT_FALSE((*fs_.OpenForRead(Path("zeros")))->has_holes()) << "zeros that were written";
}

// A waiter whose lock file goes away with its holder must not sit alone on a nameless file.
TEST_F(PosixFilesTest, AWaiterGetsTheLockThatOthersSee) {
  auto held = fs_.Lock(Path("lock"), LockMode::kExclusive);
  ASSERT_TRUE(held.ok());
  Result<std::unique_ptr<FileLock>> waited = Status::Io("not yet");
  std::thread waiter([&] { waited = fs_.Lock(Path("lock"), LockMode::kShared); });
  ASSERT_TRUE(fs_.RemoveFile(Path("lock")).ok());
  held->reset();
  waiter.join();
  ASSERT_TRUE(waited.ok()) << waited.status().ToString();
  EXPECT_EQ(fs_.Lock(Path("lock"), LockMode::kExclusive).status().name(), "busy");
}

TEST_F(PosixFilesTest, AFolderThatWasRemovedMeanwhileIsNotThere) {
  ASSERT_TRUE(fs_.CreateDirectory(Path("folder")).ok());
  auto held = fs_.LockDirectory(Path("folder"), LockMode::kExclusive);
  ASSERT_TRUE(held.ok());
  Result<std::unique_ptr<FileLock>> waited = Status::Io("not yet");
  std::thread waiter([&] { waited = fs_.LockDirectory(Path("folder"), LockMode::kShared); });
  ASSERT_TRUE(fs_.RemoveDirectory(Path("folder")).ok());
  held->reset();
  waiter.join();
  EXPECT_EQ(waited.status().code(), Code::kNotFound);
}

// What the system refuses for the moment is an error: a folder that is there is not called gone.
TEST(PosixFailures, AFolderThatCannotBeLookedAtIsNotGone) {
  FileSystem& fs = PosixFileSystem();
  const std::string folder = testing::TempDir() + "posix_failures";
  ASSERT_TRUE(CreateDirectories(fs, folder).ok());
  EXPECT_EQ(0, WithoutCall(SYS_newfstatat, [&] {
              const Status locked = fs.LockDirectory(folder, LockMode::kShared).status();
              const Status file = fs.Lock(folder + "/lock", LockMode::kExclusive).status();
              return locked.name() == "io" && file.name() == "io" ? 0 : 1;
            }));
  ASSERT_TRUE(RemoveTree(fs, folder).ok());
}

}  // namespace
}  // namespace gyrator

// One suite for the real file system and the one in memory, then what each does alone.
#include "base/fs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/fs_fault.h"
#include "base/fs_memory.h"

namespace gyrator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class AnyFileSystem : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/gyrator_fs_test_" + std::to_string(::getpid());
    ASSERT_TRUE(RemoveTree(fs(), root_).ok());
    ASSERT_TRUE(CreateDirectories(fs(), root_).ok());
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(fs(), root_).ok()); }

  FileSystem& fs() { return GetParam() ? PosixFileSystem() : static_cast<FileSystem&>(memory_); }
  std::string Path(const std::string& name) { return JoinPath(root_, name); }
  std::string Content(const std::string& name) {
    const auto text = ReadFile(fs(), Path(name), 1000);
    return text.ok() ? *text : text.status().ToString();
  }

  MemoryFileSystem memory_;
  std::string root_;
};

INSTANTIATE_TEST_SUITE_P(Memory, AnyFileSystem, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Posix, AnyFileSystem, ::testing::Values(true));

TEST_P(AnyFileSystem, WritesReadsAndLists) {
  ASSERT_TRUE(WriteNewFile(fs(), Path("b"), AsBytes("hello")).ok());
  ASSERT_TRUE(WriteNewFile(fs(), Path("a"), {}).ok());
  ASSERT_TRUE(fs().CreateDirectory(Path("c")).ok());
  EXPECT_THAT(*fs().List(root_), ElementsAre("a", "b", "c"));
  EXPECT_EQ(fs().Stat(Path("b"))->bytes, 5u);
  EXPECT_EQ(fs().Stat(Path("c"))->kind, FileKind::kDirectory);
  const auto file = fs().OpenForRead(Path("b"));
  std::byte piece[3];
  ASSERT_TRUE((*file)->ReadAt(2, piece).ok());
  EXPECT_EQ(AsText(piece), "llo");
  EXPECT_EQ((*file)->ReadAt(3, piece).code(), Code::kCorruption);
  EXPECT_GT(*fs().FreeBytes(root_), 0u);
}

TEST_P(AnyFileSystem, FailuresHaveTheirNames) {
  ASSERT_TRUE(WriteNewFile(fs(), Path("file"), AsBytes("x")).ok());
  ASSERT_TRUE(CreateDirectories(fs(), Path("full/below")).ok());
  ASSERT_TRUE(fs().CreateDirectory(Path("other")).ok());
  EXPECT_EQ(fs().Stat(Path("none")).status().code(), Code::kNotFound);
  EXPECT_EQ(fs().Stat(Path("file/below")).status().code(), Code::kNotFound);
  EXPECT_EQ(fs().List(Path("none")).status().code(), Code::kNotFound);
  EXPECT_EQ(fs().OpenForRead(Path("none")).status().code(), Code::kNotFound);
  EXPECT_EQ(fs().OpenForRead(Path("full")).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(fs().CreateFile(Path("none/file")).status().code(), Code::kNotFound);
  EXPECT_EQ(fs().CreateFile(Path("file")).status().name(), "exists");
  EXPECT_EQ(fs().CreateDirectory(Path("full")).name(), "exists");
  EXPECT_EQ(fs().RemoveDirectory(Path("full")).name(), "exists");
  EXPECT_EQ(fs().Rename(Path("other"), Path("full")).name(), "exists");
  EXPECT_EQ(fs().Rename(Path("none"), Path("x")).code(), Code::kNotFound);
  EXPECT_EQ(fs().RemoveFile(Path("none")).code(), Code::kNotFound);
  EXPECT_FALSE(fs().RemoveFile(Path("full")).ok());
  EXPECT_EQ(ReadFile(fs(), Path("file"), 0).status().code(), Code::kExhausted);
  EXPECT_THAT(fs().Stat(Path("none")).status().message(), HasSubstr("none"));
}

TEST_P(AnyFileSystem, ReplaceFileLeavesNothingBeside) {
  ASSERT_TRUE(ReplaceFile(fs(), Path("name"), AsBytes("one")).ok());
  ASSERT_TRUE(WriteNewFile(fs(), Path("name.tmp"), AsBytes("stale")).ok());
  ASSERT_TRUE(ReplaceFile(fs(), Path("name"), AsBytes("two")).ok());
  EXPECT_EQ(Content("name"), "two");
  EXPECT_THAT(*fs().List(root_), ElementsAre("name"));
}

TEST_P(AnyFileSystem, CommitFolderMovesAllOfIt) {
  ASSERT_TRUE(CreateDirectories(fs(), Path("temp/inner")).ok());
  ASSERT_TRUE(WriteNewFile(fs(), Path("temp/inner/file"), AsBytes("x")).ok());
  ASSERT_TRUE(CommitFolder(fs(), Path("temp"), Path("final")).ok());
  EXPECT_THAT(*fs().List(root_), ElementsAre("final"));
  EXPECT_EQ(Content("final/inner/file"), "x");
  ASSERT_TRUE(RemoveTree(fs(), Path("final")).ok());
  EXPECT_TRUE(RemoveTree(fs(), Path("final")).ok()) << "no folder is no failure";
  EXPECT_THAT(*fs().List(root_), IsEmpty());
}

TEST_P(AnyFileSystem, AnExclusiveLockIsAlone) {
  auto first = fs().Lock(Path("lock"), LockMode::kExclusive);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(fs().Lock(Path("lock"), LockMode::kExclusive).status().name(), "busy");
  first->reset();
  auto shared = fs().Lock(Path("lock"), LockMode::kShared);
  auto shared_too = fs().Lock(Path("lock"), LockMode::kShared);
  EXPECT_TRUE(shared.ok() && shared_too.ok());
  EXPECT_EQ(fs().Lock(Path("lock"), LockMode::kExclusive).status().name(), "busy");
}

TEST_P(AnyFileSystem, ADirectoryIsLockedItself) {
  ASSERT_TRUE(fs().CreateDirectory(Path("d")).ok());
  ASSERT_TRUE(WriteNewFile(fs(), Path("file"), AsBytes("x")).ok());
  {
    const auto one = fs().LockDirectory(Path("d"), LockMode::kShared);
    const auto two = fs().LockDirectory(Path("d"), LockMode::kShared);
    EXPECT_TRUE(one.ok() && two.ok());
    EXPECT_EQ(fs().LockDirectory(Path("d"), LockMode::kExclusive).status().name(), "busy");
  }
  EXPECT_TRUE(fs().LockDirectory(Path("d"), LockMode::kExclusive).ok());
  EXPECT_THAT(*fs().List(Path("d")), IsEmpty()) << "nothing is written";
  EXPECT_EQ(fs().LockDirectory(Path("none"), LockMode::kShared).status().code(), Code::kNotFound);
  EXPECT_EQ(fs().LockDirectory(Path("file"), LockMode::kShared).status().code(), Code::kNotFound);
}

TEST_P(AnyFileSystem, ALockThatItsHolderRemovedIsMadeAnew) {
  auto first = fs().Lock(Path("lock"), LockMode::kExclusive);
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(fs().RemoveFile(Path("lock")).ok());
  const auto second = fs().Lock(Path("lock"), LockMode::kExclusive);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(fs().Stat(Path("lock")).ok());
  EXPECT_EQ(fs().Lock(Path("lock"), LockMode::kExclusive).status().name(), "busy");
}

TEST(PosixFiles, LinksAndFifosAreNotFiles) {
  FileSystem& fs = PosixFileSystem();
  const std::string root = testing::TempDir() + "/gyrator_links_" + std::to_string(::getpid());
  ASSERT_TRUE(CreateDirectories(fs, root + "/folder").ok());
  ASSERT_TRUE(WriteNewFile(fs, root + "/folder/kept", AsBytes("x")).ok());
  ASSERT_EQ(::symlink((root + "/folder").c_str(), (root + "/link").c_str()), 0);
  ASSERT_EQ(::symlink((root + "/folder/kept").c_str(), (root + "/filelink").c_str()), 0);
  ASSERT_EQ(::mkfifo((root + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(fs.Stat(root + "/link")->kind, FileKind::kOther);
  EXPECT_FALSE(fs.OpenForRead(root + "/filelink").ok());
  EXPECT_EQ(fs.OpenForRead(root + "/fifo").status().code(), Code::kInvalidArgument);
  EXPECT_TRUE(CreateDirectories(fs, root + "/link").ok())
      << "a link to a folder is a folder to use";
  ASSERT_TRUE(RemoveTree(fs, root + "/link").ok());
  EXPECT_TRUE(fs.Stat(root + "/folder/kept").ok()) << "links are removed, not followed";
  EXPECT_TRUE(RemoveTree(fs, root).ok());
}

TEST(MemoryFiles, ACrashKeepsWhatWasSynced) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDirectory("/d").ok());
  ASSERT_TRUE(fs.SyncDirectory("/").ok());
  ASSERT_TRUE(WriteNewFile(fs, "/d/entry_lost", AsBytes("x")).ok());
  fs.Crash(CrashMode::kDropUnsynced);
  EXPECT_THAT(*fs.List("/d"), IsEmpty()) << "the entry was never synced";

  const auto file = fs.CreateFile("/d/f");
  ASSERT_TRUE((*file)->Append(AsBytes("synced")).ok() && (*file)->Sync().ok());
  ASSERT_TRUE((*file)->Append(AsBytes(" lost")).ok() && fs.SyncDirectory("/d").ok());
  ASSERT_TRUE(fs.Rename("/d/f", "/d/g").ok());
  fs.Crash(CrashMode::kDropUnsynced);
  EXPECT_THAT(*fs.List("/d"), ElementsAre("f")) << "the rename was not synced";
  EXPECT_EQ(*ReadFile(fs, "/d/f", 100), "synced");
  EXPECT_FALSE((*file)->Append(AsBytes("dead")).ok());
}

TEST(MemoryFiles, ATornCrashHasManyOutcomes) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    MemoryFileSystem fs;
    const auto file = fs.CreateFile("/f");
    ASSERT_TRUE((*file)->Append(AsBytes("12345678")).ok() && fs.SyncDirectory("/").ok());
    fs.Crash(CrashMode::kTorn, seed);
    outcomes.insert(*ReadFile(fs, "/f", 100));
  }
  EXPECT_TRUE(outcomes.contains("") && outcomes.contains("12345678"));
  EXPECT_TRUE(outcomes.contains(std::string("1234\0\0\0\0", 8)));
}

TEST(FaultFiles, TheChosenOperationFailsAndTheFileIsTorn) {
  MemoryFileSystem memory;
  FaultFileSystem fs(&memory, {.at = 1, .error = "no_space"});
  const auto file = fs.CreateFile("/f");
  ASSERT_TRUE(file.ok());
  const Status status = (*file)->Append(AsBytes("12345678"));
  EXPECT_EQ(status.name(), "no_space");
  EXPECT_EQ(status.code(), Code::kExhausted);
  EXPECT_EQ(*ReadFile(memory, "/f", 100), "1234");
  EXPECT_TRUE(fs.fired());
  EXPECT_TRUE((*file)->Sync().ok()) << "only one operation fails";
}

TEST(FaultFiles, AfterACrashNothingWorks) {
  MemoryFileSystem memory;
  FaultFileSystem fs(&memory, {.at = 1, .crash = true});
  ASSERT_TRUE(fs.CreateDirectory("/d").ok());
  EXPECT_FALSE(fs.CreateDirectory("/e").ok());
  EXPECT_FALSE(fs.CreateDirectory("/f").ok());
  EXPECT_FALSE(fs.List("/").ok());
  EXPECT_THAT(*memory.List("/"), ElementsAre("d"));
}

TEST(Paths, JoinAndParent) {
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
  EXPECT_EQ(ParentPath("/a/b"), "/a");
  EXPECT_EQ(ParentPath("/a"), "/");
  EXPECT_EQ(ParentPath("a"), ".");
  EXPECT_EQ(ParentPath("/a//b/"), "/a");
}

}  // namespace
}  // namespace gyrator

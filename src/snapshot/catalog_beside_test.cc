// A catalog that others use at the same time, or have damaged: readers beside savers, name files
// that are no name files, what killed processes leave, and what names mean.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/fs_forward_testing.h"
#include "snapshot/catalog.h"
#include "snapshot/stamp.h"
#include "snapshot/state_testing.h"

namespace gyrator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr char kRoot[] = "/contexts";
const WriteOptions kOptions{.writer_version = "1"};
const Catalog::Accepts kAnything = [](const Snapshot&) { return Status(); };

TestState Small(uint64_t seed) {
  return TestState({.num_layers = 1, .num_kv_heads = 1, .head_dim = 2, .cp = 3, .seed = seed});
}

std::vector<std::string> Folders(FileSystem& fs, const std::string& root) {
  std::vector<std::string> folders;
  const auto names = fs.List(root);
  for (const std::string& name : *names) {
    if (IsStamp(name) || name.starts_with(kTempPrefix)) folders.push_back(name);
  }
  return folders;
}

class CatalogBeside : public ::testing::Test {
 protected:
  WrittenSnapshot Save(const std::string& name, uint64_t seed) {
    auto saved = catalog_.Save(name, Small(seed).source(), kOptions);
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    return saved.ok() ? *std::move(saved) : WrittenSnapshot();
  }
  std::vector<std::string> Folders() { return gyrator::Folders(fs_, kRoot); }
  std::string InNames(const std::string& file) { return std::string(kRoot) + "/names/" + file; }

  MemoryFileSystem fs_;
  ManualClock clock_{kTestNanos};
  Catalog catalog_{fs_, clock_, kRoot};
};

// ---- readers and savers ----------------------------------------------------------------------

TEST_F(CatalogBeside, AFolderThatIsReadStaysUntilTheNextSave) {
  const WrittenSnapshot first = Save("chat", 1);
  auto held = catalog_.Hold("chat");
  ASSERT_TRUE(held.ok()) << held.status().ToString();
  EXPECT_EQ(held->folder, first.folder);
  const WrittenSnapshot second = Save("chat", 2);
  EXPECT_TRUE(VerifySnapshot(fs_, first.folder, {}).ok()) << "it is being read";
  EXPECT_EQ(*catalog_.Resolve("chat"), second.folder);
  ASSERT_EQ(catalog_.List()->size(), 1u) << "and it is no context of its own";
  const WrittenSnapshot third = Save("chat", 3);
  EXPECT_THAT(Folders(), UnorderedElementsAre(first.stamp, third.stamp));
  held->lock.reset();
  const WrittenSnapshot fourth = Save("chat", 4);
  EXPECT_THAT(Folders(), ElementsAre(fourth.stamp));
  EXPECT_EQ(fs_.Stat(InNames(".chat.intent")).status().code(), Code::kNotFound);
}

TEST_F(CatalogBeside, RecoverRemovesWhatAReaderKept) {
  const WrittenSnapshot first = Save("chat", 1);
  auto held = catalog_.Hold(first.stamp);
  ASSERT_TRUE(held.ok());
  const WrittenSnapshot second = Save("chat", 2);
  EXPECT_THAT(*catalog_.Recover(), IsEmpty());
  EXPECT_THAT(Folders(), UnorderedElementsAre(first.stamp, second.stamp));
  held->lock.reset();
  EXPECT_THAT(*catalog_.Recover(), ElementsAre(first.folder));
  EXPECT_THAT(Folders(), ElementsAre(second.stamp));
}

TEST_F(CatalogBeside, ARemovedContextIsReadToItsEnd) {
  const WrittenSnapshot only = Save("chat", 1);
  {
    const auto snapshot = OpenSnapshot(fs_, only.folder);
    ASSERT_TRUE(snapshot.ok());
    ASSERT_TRUE(catalog_.Remove("chat").ok());
    TestState target = Small(9);
    EXPECT_TRUE(LoadKv(fs_, *snapshot, target.kv(), target.blocks(), {}).ok());
    EXPECT_EQ(target.LogicalBytes(), Small(1).LogicalBytes());
    EXPECT_THAT(*catalog_.List(), IsEmpty());
  }
  ASSERT_TRUE(catalog_.Recover().ok());
  EXPECT_THAT(Folders(), IsEmpty());
  EXPECT_THAT(*fs_.List(std::string(kRoot) + "/names"), IsEmpty());
}

TEST_F(CatalogBeside, AnImportIsReadFromAFolderThatStays) {
  const WrittenSnapshot first = Save("chat", 1);
  const auto copied = catalog_.Import("copy", first.folder, [&](const Snapshot&) {
    Save("chat", 2);  // between the check and the copy
    return Status();
  });
  ASSERT_TRUE(copied.ok()) << copied.status().ToString();
  EXPECT_EQ(copied->root_digest, first.root_digest);
}

// Another process saves just before this one has the folder.
class SavesMeanwhile final : public ForwardingFileSystem {
 public:
  SavesMeanwhile(FileSystem* base, int times, std::function<void()> save)
      : ForwardingFileSystem(base), times_(times), save_(std::move(save)) {}
  Result<std::unique_ptr<FileLock>> LockDirectory(const std::string& path, LockMode mode) override {
    if (times_-- > 0) save_();
    return ForwardingFileSystem::LockDirectory(path, mode);
  }

 private:
  int times_;
  const std::function<void()> save_;
};

TEST_F(CatalogBeside, AReaderLooksAgainWhereTheNamePoints) {
  for (const int times : {1, 2, 20}) {
    Save("chat", 1);
    std::string newest;
    SavesMeanwhile busy(&fs_, times, [&] { newest = Save("chat", 2).folder; });
    const auto held = Catalog(busy, clock_, kRoot).Hold("chat");
    ASSERT_TRUE(held.ok()) << held.status().ToString();
    EXPECT_EQ(held->folder, newest) << times;
  }
  // One that never comes to read gets a refusal in the end, not damage.
  SavesMeanwhile endless(&fs_, 1 << 30, [&] { Save("chat", 2); });
  const Status status = Catalog(endless, clock_, kRoot).Hold("chat").status();
  EXPECT_EQ(status.name(), "busy") << status.ToString();
}

TEST_F(CatalogBeside, AReaderOfANameThatIsRemovedMeanwhileFindsNone) {
  Save("chat", 1);
  SavesMeanwhile busy(&fs_, 1, [&] { EXPECT_TRUE(catalog_.Remove("chat").ok()); });
  EXPECT_EQ(Catalog(busy, clock_, kRoot).Hold("chat").status().name(), "not_found");
}

TEST_F(CatalogBeside, ANameThatPointsAtNoFolderIsDamaged) {
  const WrittenSnapshot saved = Save("chat", 1);
  ASSERT_TRUE(RemoveTree(fs_, saved.folder).ok());
  const Status status = catalog_.Hold("chat").status();
  EXPECT_EQ(status.code(), Code::kCorruption) << "to be missing would invite a new one over it";
  EXPECT_THAT(status.message(), HasSubstr("names/chat"));
  EXPECT_EQ(catalog_.Hold("nobody").status().code(), Code::kNotFound);
  EXPECT_EQ(catalog_.Hold("/no/where").status().code(), Code::kNotFound);
  ASSERT_EQ(catalog_.List()->size(), 1u);
  EXPECT_FALSE((*catalog_.List())[0].problem.ok());
  EXPECT_TRUE(catalog_.Remove("chat").ok());
}

// Runs `work` in a child process; it says by its exit code how many of its commands failed.
pid_t InChild(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(std::min(work(), 250));
  return child;
}

// What a reader finds beside a process that saves all the time is always a whole context.
TEST(CatalogProcesses, ReadersBesideASaverNeverSeeDamage) {
  FileSystem& fs = PosixFileSystem();
  const std::string root = testing::TempDir() + "/gyrator_beside_" + std::to_string(::getpid());
  ASSERT_TRUE(RemoveTree(fs, root).ok());
  const auto catalog = [&](const std::string& folder) {
    return Catalog(fs, SystemClock(), JoinPath(root, folder));
  };
  ASSERT_TRUE(catalog("home").Save("chat", Small(1).source(), kOptions).ok());
  const pid_t saver = InChild([&] {
    int failed = 0;
    for (uint64_t seed = 2; seed < 60; ++seed) {
      failed += catalog("home").Save("chat", Small(seed).source(), kOptions).ok() ? 0 : 1;
    }
    return failed;
  });
  const auto verifies = [&] {
    Catalog mine = catalog("home");
    const auto held = mine.Hold("chat");
    return held.ok() ? VerifySnapshot(fs, held->folder, {}).status() : held.status();
  };
  const auto lists = [&] {
    const auto entries = catalog("home").List();
    GYRATOR_RETURN_IF_ERROR(entries.status());
    if (entries->size() != 1) return Status::Corruption(std::to_string(entries->size()));
    return (*entries)[0].problem;
  };
  const auto copies = [&] {
    Catalog mine = catalog("home");
    const auto held = mine.Hold("chat");
    GYRATOR_RETURN_IF_ERROR(held.status());
    return catalog("away" + std::to_string(::getpid()))
        .Import("", held->folder, kAnything)
        .status();
  };
  std::vector<pid_t> readers;
  for (const std::function<Status()>& reads :
       {std::function<Status()>(verifies), std::function<Status()>(lists),
        std::function<Status()>(copies)}) {
    readers.push_back(InChild([&] {
      int failed = 0;
      for (int i = 0; i < 60; ++i) {
        const Status status = reads();
        if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
        failed += status.ok() ? 0 : 1;
      }
      return failed;
    }));
  }
  for (const pid_t child : readers) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << "failed commands: " << WEXITSTATUS(status);
  }
  int status = 0;
  ::waitpid(saver, &status, 0);
  EXPECT_EQ(status, 0) << "failed saves: " << WEXITSTATUS(status);
  ASSERT_TRUE(catalog("home").Recover().ok());
  EXPECT_EQ(Folders(fs, root + "/home").size(), 1u) << "nothing is left for ever";
  EXPECT_TRUE(RemoveTree(fs, root).ok());
}

// ---- imports ---------------------------------------------------------------------------------

TEST_F(CatalogBeside, AnImportNeverReplaces) {
  const WrittenSnapshot mine = Save("chat", 1);
  const WrittenSnapshot other = MustWrite(fs_, Small(2), true, "/usb");
  const Status refused = catalog_.Import("chat", other.folder, kAnything).status();
  EXPECT_EQ(refused.code(), Code::kInvalidArgument);
  EXPECT_EQ(refused.name(), "exists");
  EXPECT_THAT(refused.message(), HasSubstr("'chat'"));
  EXPECT_EQ(*catalog_.Resolve("chat"), mine.folder);
  EXPECT_THAT(Folders(), ElementsAre(mine.stamp));
  // Nor when another process gives the name away while the folder is verified.
  const Status late = catalog_
                          .Import("late", other.folder,
                                  [&](const Snapshot&) {
                                    Save("late", 3);
                                    return Status();
                                  })
                          .status();
  EXPECT_EQ(late.name(), "exists");
  EXPECT_EQ(Folders().size(), 2u);
  ASSERT_TRUE(catalog_.Remove("chat").ok());
  EXPECT_TRUE(catalog_.Import("chat", other.folder, kAnything).ok());
}

TEST_F(CatalogBeside, AnImportAsksWhetherTheFolderCanBeOpened) {
  const WrittenSnapshot other = MustWrite(fs_, Small(2), true, "/usb");
  const Status refused =
      catalog_
          .Import("chat", other.folder,
                  [](const Snapshot& snapshot) {
                    return Status::Corruption(std::to_string(snapshot.cp())).Named("asked");
                  })
          .status();
  EXPECT_EQ(refused.name(), "asked");
  EXPECT_EQ(refused.message(), "3");
  EXPECT_FALSE(fs_.Stat(kRoot).ok()) << "nothing was made";
}

// ---- damaged names ---------------------------------------------------------------------------

void ExpectOthersAreUnharmed(FileSystem& fs, Catalog& catalog, const std::string& what) {
  const auto save = [&](uint64_t seed) {
    return catalog.Save("whole", Small(seed).source(), kOptions);
  };
  const auto first = save(1), second = save(2);
  ASSERT_TRUE(first.ok() && second.ok()) << what << second.status().ToString();
  EXPECT_FALSE(fs.Stat(first->folder).ok()) << what << ": the old folder goes";
  EXPECT_TRUE(catalog.Recover().ok()) << what;
  EXPECT_EQ(*catalog.Resolve("whole"), second->folder) << what;
  const auto entries = catalog.List();
  ASSERT_TRUE(entries.ok()) << what;
  EXPECT_EQ(std::ranges::count_if(*entries, [](const auto& e) { return !e.problem.ok(); }), 1)
      << what;
  const Status damaged = catalog.Save("bad", Small(3).source(), kOptions).status();
  EXPECT_EQ(damaged.code(), Code::kCorruption) << what << damaged.ToString();
  EXPECT_THAT(damaged.message(), HasSubstr("names/bad")) << what;
  EXPECT_EQ(catalog.Hold("bad").status().code(), Code::kCorruption) << what;
  EXPECT_TRUE(catalog.Remove("bad").ok()) << what;
  EXPECT_TRUE(catalog.Save("bad", Small(3).source(), kOptions).ok()) << what;
  ASSERT_TRUE(catalog.Remove("bad").ok() && catalog.Remove("whole").ok()) << what;
}

TEST_F(CatalogBeside, ADamagedNameFileHarmsThatNameAlone) {
  for (const std::string& text :
       {std::string(), std::string("garbage"), std::string("../../etc\n"), std::string(5000, 'x'),
        std::string("m1d2x3x4x5\nm1d2x3x4x6\n"), std::string("\0\0\0\0", 4)}) {
    ASSERT_TRUE(CreateDirectories(fs_, std::string(kRoot) + "/names").ok());
    ASSERT_TRUE(WriteNewFile(fs_, InNames("bad"), AsBytes(text)).ok());
    ExpectOthersAreUnharmed(fs_, catalog_, text.substr(0, 20));
  }
  ASSERT_TRUE(fs_.CreateDirectory(InNames("bad")).ok());
  ExpectOthersAreUnharmed(fs_, catalog_, "a folder");
}

TEST(CatalogProcesses, ANameThatIsALinkOrAFifoHarmsThatNameAlone) {
  FileSystem& fs = PosixFileSystem();
  const std::string root = testing::TempDir() + "/gyrator_names_" + std::to_string(::getpid());
  ASSERT_TRUE(RemoveTree(fs, root).ok());
  ASSERT_TRUE(CreateDirectories(fs, root + "/names").ok());
  Catalog catalog(fs, SystemClock(), root);
  const std::string bad = root + "/names/bad";
  ASSERT_EQ(::symlink("/etc/hostname", bad.c_str()), 0);
  ExpectOthersAreUnharmed(fs, catalog, "a link");
  ASSERT_EQ(::symlink("nowhere", bad.c_str()), 0);
  ExpectOthersAreUnharmed(fs, catalog, "a link to nothing");
  ASSERT_EQ(::mkfifo(bad.c_str(), 0600), 0);
  ExpectOthersAreUnharmed(fs, catalog, "a fifo");
  EXPECT_TRUE(RemoveTree(fs, root).ok());
}

TEST_F(CatalogBeside, ADamagedIntentOrLockHarmsThatNameAlone) {
  for (const std::string& file : {std::string(".bad.intent"), std::string(".bad.lock")}) {
    Save("whole", 1);
    ASSERT_TRUE(RemoveTree(fs_, InNames(file)).ok());
    ASSERT_TRUE(fs_.CreateDirectory(InNames(file)).ok());
    EXPECT_TRUE(catalog_.Recover().ok()) << file;
    EXPECT_TRUE(catalog_.List().ok()) << file;
    Save("whole", 2);
    EXPECT_EQ(Folders().size(), 1u) << file;
    ASSERT_TRUE(fs_.RemoveDirectory(InNames(file)).ok());
  }
}

// A name that the system does not give just now may point at any folder: nothing is removed.
class Unreadable final : public ForwardingFileSystem {
 public:
  Unreadable(FileSystem* base, std::string path)
      : ForwardingFileSystem(base), path_(std::move(path)) {}
  Result<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    if (path == path_) return Status::Io(path + ": open: injected").Named("io");
    return ForwardingFileSystem::OpenForRead(path);
  }

 private:
  const std::string path_;
};

TEST_F(CatalogBeside, ANameThatCannotBeReadJustNowKeepsFoldersUntilItCan) {
  const WrittenSnapshot first = Save("chat", 1);
  ASSERT_TRUE(ReplaceFile(fs_, InNames("twin"), AsBytes(first.stamp + "\n")).ok());
  Unreadable faulty(&fs_, InNames("twin"));
  const auto second = Catalog(faulty, clock_, kRoot).Save("chat", Small(2).source(), kOptions);
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_TRUE(OpenSnapshot(fs_, first.folder).ok()) << "the twin has it";
  Save("chat", 3);
  EXPECT_TRUE(OpenSnapshot(fs_, first.folder).ok());
  EXPECT_EQ(Folders().size(), 2u);
  ASSERT_TRUE(catalog_.Remove("twin").ok());
  EXPECT_EQ(Folders().size(), 1u);
}

// ---- what killed processes leave ---------------------------------------------------------------

TEST_F(CatalogBeside, StrayFilesAreSwept) {
  Save("chat", 1);
  for (const char* stray : {".chat.intent.tmp", "chat.tmp", ".gone.intent.tmp", "gone.tmp",
                            ".gone.lock", ".m1d2x3x4x5.lock", ".m1d2x3x4x5.intent.tmp"}) {
    ASSERT_TRUE(WriteNewFile(fs_, InNames(stray), AsBytes("x")).ok());
  }
  ASSERT_TRUE(catalog_.Recover().ok());
  EXPECT_THAT(*fs_.List(std::string(kRoot) + "/names"), ElementsAre(".chat.lock", "chat"));
  ASSERT_TRUE(WriteNewFile(fs_, InNames("not ours.tmp"), AsBytes("x")).ok());
  ASSERT_TRUE(catalog_.Recover().ok());
  EXPECT_TRUE(fs_.Stat(InNames("not ours.tmp")).ok()) << "what a person put there stays";
}

// Killed between the removal of a folder and that of the file that says so.
TEST_F(CatalogBeside, AnIntentWhoseFolderIsGoneIsSwept) {
  const WrittenSnapshot gone = Save("chat", 1);
  const WrittenSnapshot current = Save("chat", 2);
  ASSERT_TRUE(ReplaceFile(fs_, InNames(".chat.intent"), AsBytes(gone.stamp + "\n")).ok());
  ASSERT_TRUE(catalog_.Recover().ok());
  EXPECT_THAT(*fs_.List(std::string(kRoot) + "/names"), ElementsAre(".chat.lock", "chat"));
  EXPECT_THAT(Folders(), ElementsAre(current.stamp));
}

TEST_F(CatalogBeside, ARemovedContextLeavesNoTraceOfItsName) {
  Save("chat", 1);
  ASSERT_TRUE(WriteNewFile(fs_, InNames(".chat.intent.tmp"), AsBytes("x")).ok());
  const WrittenSnapshot unnamed = Save("", 2);
  ASSERT_TRUE(catalog_.Remove("chat").ok());
  ASSERT_TRUE(catalog_.Remove(unnamed.stamp).ok());
  EXPECT_THAT(*fs_.List(std::string(kRoot) + "/names"), IsEmpty());
}

TEST_F(CatalogBeside, WhatAnotherProcessIsAboutToUseIsNotSwept) {
  ASSERT_TRUE(CreateDirectories(fs_, std::string(kRoot) + "/names").ok());
  const auto lock = catalog_.LockName("new");
  ASSERT_TRUE(lock.ok());
  ASSERT_TRUE(WriteNewFile(fs_, InNames("new.tmp"), AsBytes("x")).ok());
  Catalog other(fs_, clock_, kRoot);
  ASSERT_TRUE(other.Recover().ok());
  EXPECT_TRUE(fs_.Stat(InNames("new.tmp")).ok());
  EXPECT_TRUE(fs_.Stat(InNames(".new.lock")).ok());
}

TEST_F(CatalogBeside, FoldersOfASaveThatGoesOnAreNotSwept) {
  ASSERT_TRUE(CreateDirectories(fs_, kRoot).ok());
  const auto writer = FolderWriter::Begin(fs_, clock_, kRoot);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(fs_.CreateDirectory(std::string(kRoot) + "/.tmp-m1d2x3x4x5").ok());
  EXPECT_THAT(*catalog_.Recover(), IsEmpty());
  EXPECT_EQ(Folders().size(), 2u) << "the sweep needs the root's lock alone";
}

// ---- what a name means -----------------------------------------------------------------------

TEST(CatalogNames, AreIndependentOfTheWorkingDirectory) {
  FileSystem& fs = PosixFileSystem();
  const std::string root = testing::TempDir() + "/gyrator_cwd_" + std::to_string(::getpid());
  ASSERT_TRUE(RemoveTree(fs, root).ok());
  ASSERT_TRUE(CreateDirectories(fs, root + "/cwd/notes").ok());
  Catalog catalog(fs, SystemClock(), root + "/contexts");
  const std::string elsewhere = MustWrite(fs, Small(1), true, root + "/cwd").folder;
  const std::string stamp = elsewhere.substr(elsewhere.rfind('/') + 1);
  ASSERT_TRUE(fs.Rename(elsewhere, root + "/cwd/fresh").ok());
  const pid_t child = ::fork();  // whose working directory is its own
  if (child == 0) {
    int failed = ::chdir((root + "/cwd").c_str());
    for (const char* name : {"notes", "fresh", "nobody"}) {
      failed += catalog.Resolve(name).status().name() == "not_found" ? 0 : 1;
      failed += catalog.Hold(name).status().name() == "not_found" ? 0 : 1;
    }
    failed +=
        catalog.Resolve("fresh").status().message().find("./fresh") != std::string::npos ? 0 : 1;
    failed += catalog.Resolve("nobody").status().message().find("./") == std::string::npos ? 0 : 1;
    for (const char* path : {"./fresh", "../cwd/fresh", "fresh/"}) {
      failed += catalog.Hold(path).ok() ? 0 : 1;
    }
    failed += catalog.Resolve(".").ok() && catalog.Resolve("..").ok() ? 0 : 1;
    failed += catalog.Save("notes", Small(2).source(), kOptions).ok() ? 0 : 1;
    failed += catalog.Hold("notes")->folder.starts_with(root + "/contexts/") ? 0 : 1;
    ::_exit(failed);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(RemoveTree(fs, root).ok());
}

}  // namespace
}  // namespace gyrator

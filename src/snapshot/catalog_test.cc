// Names, true order, removal, and what a fault or a crash at any operation leaves behind.
#include "snapshot/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/fs_fault.h"
#include "base/fs_forward_testing.h"
#include "snapshot/stamp.h"
#include "snapshot/state_testing.h"

namespace gyrator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRoot[] = "/home/contexts";
const WriteOptions kOptions{.writer_version = "1"};
const Catalog::Accepts kAnything = [](const Snapshot&) { return Status(); };

TestState Small(uint64_t seed, int32_t cp = 3) {
  return TestState({.num_layers = 1, .num_kv_heads = 1, .head_dim = 2, .cp = cp, .seed = seed});
}

// The K and V bits that `name` loads.
Result<std::vector<std::byte>> LoadBits(FileSystem& fs, Catalog& catalog, const std::string& name) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string folder, catalog.Resolve(name));
  GYRATOR_ASSIGN_OR_RETURN(const Snapshot snapshot, OpenSnapshot(fs, folder));
  TestState target = Small(99, snapshot.cp());
  GYRATOR_RETURN_IF_ERROR(LoadKv(fs, snapshot, target.kv(), target.blocks(), {}));
  return target.LogicalBytes();
}

// Folders below the root that are not the catalog's own.
std::vector<std::string> Folders(FileSystem& fs) {
  std::vector<std::string> folders;
  const auto names = fs.List(kRoot);
  for (const std::string& name : *names) {
    if (name != "names" && name != kRootLockFile) folders.push_back(name);
  }
  return folders;
}

TEST(Catalog, ANameMovesToTheNewFolderAndTheOldOneGoes) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  const TestState first = Small(1), second = Small(2);
  const auto one = catalog.Save("chat", first.source(), kOptions);
  ASSERT_TRUE(one.ok()) << one.status().ToString();
  const auto two = catalog.Save("chat", second.source(), kOptions);
  ASSERT_TRUE(two.ok()) << two.status().ToString();
  EXPECT_NE(one->stamp, two->stamp);
  EXPECT_THAT(Folders(fs), ElementsAre(two->stamp));
  EXPECT_EQ(*LoadBits(fs, catalog, "chat"), second.LogicalBytes());
  EXPECT_EQ(*ReadFile(fs, std::string(kRoot) + "/names/chat", 100), two->stamp + "\n");
}

TEST(Catalog, RefusesNamesThatAreNotNames) {
  for (const std::string name :
       {"", ".", "..", ".a", "-a", "a/b", "../a", "a b", "a\n", "m1d2x3x4x5", "x.tmp", "é"}) {
    EXPECT_EQ(CheckContextName(name).code(), Code::kInvalidArgument) << name;
  }
  EXPECT_FALSE(CheckContextName(std::string(65, 'a')).ok());
  for (const std::string name : {"a", "Ada-1", "my_chat.v2", "m1d2", "9"}) {
    EXPECT_TRUE(CheckContextName(name).ok()) << name;
  }
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  EXPECT_EQ(catalog.Save("../evil", Small(1).source(), kOptions).status().code(),
            Code::kInvalidArgument);
  EXPECT_EQ(catalog.Remove("../evil").code(), Code::kInvalidArgument);
}

TEST(Catalog, AThousandSavesOfOneSecondAreUniqueAndInTrueOrder) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  std::vector<std::string> written;
  for (int i = 0; i < 1000; ++i) {
    clock.Set(kTestNanos + (i / 10));  // ten at a time share a nanosecond
    const TestState state = Small(1, 1);
    const auto saved = catalog.Save("", state.source(), kOptions);
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    written.push_back(saved->stamp);
  }
  EXPECT_EQ(std::set<std::string>(written.begin(), written.end()).size(), 1000u);
  const auto entries = catalog.List();
  ASSERT_TRUE(entries.ok());
  std::vector<std::string> listed;
  for (const CatalogEntry& entry : *entries) listed.push_back(entry.stamp);
  EXPECT_EQ(listed, written);
}

TEST(Catalog, ListsInTrueOrderOverMonthsAndYears) {
  MemoryFileSystem fs;
  ManualClock clock(0);
  Catalog catalog(fs, clock, kRoot);
  std::vector<std::string> written;
  for (const char* time : {"2025-09-30T23:59:59.000000000Z", "2025-10-01T00:00:00.000000000Z",
                           "2025-12-31T23:59:59.000000000Z", "2026-01-01T00:00:00.000000000Z",
                           "2026-09-30T23:59:59.000000000Z"}) {
    clock.Set(*NanosFromIso(time));
    written.push_back(catalog.Save("", Small(1).source(), kOptions)->stamp);
  }
  EXPECT_EQ(written[1], "m10d1x0x0x0");
  EXPECT_EQ(written[4], "m9d30x23x59x59x1") << "the stamp of a year before";
  const auto entries = catalog.List();
  std::vector<std::string> listed;
  for (const CatalogEntry& entry : *entries) listed.push_back(entry.stamp);
  EXPECT_EQ(listed, written);
}

TEST(Catalog, ResolvesNamesStampsAndPaths) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  const auto saved = catalog.Save("chat", Small(1).source(), kOptions);
  for (const std::string& text : {std::string("chat"), saved->stamp, saved->folder}) {
    EXPECT_EQ(*catalog.Resolve(text), saved->folder) << text;
  }
  EXPECT_EQ(catalog.Resolve("nobody").status().name(), "not_found");
  EXPECT_EQ(catalog.Resolve("").status().name(), "not_found");
  EXPECT_EQ(catalog.Resolve("/no/where").status().code(), Code::kNotFound);
}

TEST(Catalog, RemovesANameWithItsFolder) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  const auto named = catalog.Save("chat", Small(1).source(), kOptions);
  const auto unnamed = catalog.Save("", Small(2).source(), kOptions);
  EXPECT_EQ(catalog.Remove(named->stamp).code(), Code::kInvalidArgument);
  EXPECT_TRUE(catalog.Remove("chat").ok());
  EXPECT_THAT(Folders(fs), ElementsAre(unnamed->stamp));
  EXPECT_EQ(catalog.Remove("chat").name(), "not_found");
  EXPECT_TRUE(catalog.Remove(unnamed->stamp).ok());
  EXPECT_THAT(Folders(fs), IsEmpty());
  EXPECT_THAT(*catalog.List(), IsEmpty());
}

TEST(Catalog, AFolderThatAnotherNameHoldsStays) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  const auto saved = catalog.Save("chat", Small(1).source(), kOptions);
  ASSERT_TRUE(
      ReplaceFile(fs, std::string(kRoot) + "/names/twin", AsBytes(saved->stamp + "\n")).ok());
  ASSERT_TRUE(catalog.Save("chat", Small(2).source(), kOptions).ok());
  EXPECT_EQ(*LoadBits(fs, catalog, "twin"), Small(1).LogicalBytes());
  ASSERT_TRUE(catalog.Remove("chat").ok());
  EXPECT_EQ(*LoadBits(fs, catalog, "twin"), Small(1).LogicalBytes());
}

TEST(Catalog, ADamagedNameFileIsRefusedAndCanBeRemoved) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  ASSERT_TRUE(catalog.Save("chat", Small(1).source(), kOptions).ok());
  fs.Damage(std::string(kRoot) + "/names/chat", "../../etc\n");
  EXPECT_EQ(catalog.Resolve("chat").status().name(), "state_inconsistent");
  EXPECT_EQ(catalog.Save("chat", Small(2).source(), kOptions).status().name(),
            "state_inconsistent");
  ASSERT_EQ(catalog.List()->size(), 2u) << "the name with its problem, the folder without a name";
  EXPECT_TRUE(catalog.Remove("chat").ok());
  EXPECT_EQ(catalog.List()->size(), 1u) << "the folder stays";
}

TEST(Catalog, AnUnreadableFolderIsListedWithItsProblem) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  const auto saved = catalog.Save("chat", Small(1).source(), kOptions);
  ASSERT_TRUE(fs.RemoveFile(saved->folder + "/input_ids.npy").ok());
  const auto entries = catalog.List();
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_EQ((*entries)[0].problem.name(), "missing_element");
}

TEST(Catalog, ImportKeepsTheDigestAndRefusesDamage) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  TestShape shape = Small(5).shape;
  shape.evicted = 6;
  const TestState state(shape);
  const WrittenSnapshot elsewhere = MustWrite(fs, state, true, "/usb");
  Catalog catalog(fs, clock, kRoot);
  const auto imported = catalog.Import("chat", elsewhere.folder, kAnything);
  ASSERT_TRUE(imported.ok()) << imported.status().ToString();
  EXPECT_EQ(imported->root_digest, elsewhere.root_digest);
  EXPECT_EQ(OpenSnapshot(fs, imported->folder)->window, state.window);
  EXPECT_EQ(*LoadBits(fs, catalog, "chat"), state.LogicalBytes());

  std::string bytes = *ReadFile(fs, elsewhere.folder + "/past_key_values/0_key.npy", 1 << 20);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  fs.Damage(elsewhere.folder + "/past_key_values/0_key.npy", bytes);
  EXPECT_EQ(catalog.Import("other", elsewhere.folder, kAnything).status().name(),
            "manifest_mismatch");
  EXPECT_EQ(*LoadBits(fs, catalog, "chat"), state.LogicalBytes());
}

TEST(Catalog, ALockedNameIsBusyForOthersButNotForItsHolder) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog mine(fs, clock, kRoot), other(fs, clock, kRoot);
  const auto lock = mine.LockName("chat");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(other.LockName("chat").status().name(), "busy");
  EXPECT_EQ(other.Save("chat", Small(1).source(), kOptions).status().name(), "busy");
  EXPECT_TRUE(other.Save("else", Small(1).source(), kOptions).ok());
  EXPECT_TRUE(mine.Save("chat", Small(2).source(), kOptions, lock->get()).ok());
}

TEST(Catalog, TooLittleSpaceIsToldBeforeAnythingIsWritten) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Catalog catalog(fs, clock, kRoot);
  ASSERT_TRUE(catalog.Save("chat", Small(1).source(), kOptions).ok());
  fs.SetFreeBytes(4000);
  const auto refused = catalog.Save("chat", Small(2).source(), kOptions);
  EXPECT_EQ(refused.status().name(), "no_space");
  EXPECT_EQ(refused.status().code(), Code::kExhausted);
  EXPECT_EQ(*LoadBits(fs, catalog, "chat"), Small(1).LogicalBytes());
  EXPECT_EQ(Folders(fs).size(), 1u);
}

// ---- every operation fails once --------------------------------------------------------------

// One attempt to save seed 2 over seed 1 with a fault; gives whether Save reported success.
struct Attempt {
  MemoryFileSystem fs;
  ManualClock clock{kTestNanos};
  bool fired = false;
  Status status;

  explicit Attempt(const FaultPlan& plan) {
    EXPECT_TRUE(Catalog(fs, clock, kRoot).Save("chat", Small(1).source(), kOptions).ok());
    FaultFileSystem faulty(&fs, plan);
    status = Catalog(faulty, clock, kRoot).Save("chat", Small(2).source(), kOptions).status();
    fired = faulty.fired();
  }
};

// The one context is whole, old or new, and what is listed is it alone.
void ExpectOldOrNew(Attempt& attempt, const std::string& where) {
  Catalog catalog(attempt.fs, attempt.clock, kRoot);
  for (const bool recovered : {false, true}) {
    const auto entries = catalog.List();
    ASSERT_TRUE(entries.ok()) << where;
    ASSERT_EQ(entries->size(), 1u) << where << " recovered " << recovered;
    EXPECT_EQ((*entries)[0].name, "chat") << where;
    EXPECT_TRUE((*entries)[0].problem.ok()) << where << (*entries)[0].problem.ToString();
    const auto bits = LoadBits(attempt.fs, catalog, "chat");
    ASSERT_TRUE(bits.ok()) << where << ": " << bits.status().ToString();
    const bool is_new = *bits == Small(2).LogicalBytes();
    EXPECT_TRUE(is_new || *bits == Small(1).LogicalBytes()) << where;
    EXPECT_TRUE(is_new || !attempt.status.ok()) << where << ": a reported save is durable";
    ASSERT_TRUE(catalog.Recover().ok()) << where;
  }
  EXPECT_EQ(Folders(attempt.fs).size(), 1u) << where << ": nothing is left over";
  ASSERT_TRUE(catalog.Save("chat", Small(3).source(), kOptions).ok()) << where;
  EXPECT_EQ(*LoadBits(attempt.fs, catalog, "chat"), Small(3).LogicalBytes()) << where;
}

// What a call of the system may fail of.
constexpr const char* kErrors[] = {"io", "no_space", "denied", "busy"};

TEST(Faults, AnyOperationMayFailOnce) {
  for (const bool reads : {false, true}) {
    for (const std::string error : kErrors) {
      for (uint64_t n = 0;; ++n) {
        Attempt attempt({.at = n, .error = error, .count_reads = reads});
        if (!attempt.fired) {
          EXPECT_GT(n, reads ? 60u : 50u);
          EXPECT_TRUE(attempt.status.ok());
          break;
        }
        ExpectOldOrNew(attempt, error + " at " + std::to_string(n) + (reads ? " with reads" : ""));
      }
    }
  }
}

TEST(Faults, AnyOperationMayBeTheLastBeforeACrash) {
  for (uint64_t n = 0;; ++n) {
    bool fired = false;
    for (uint64_t variant = 0; variant < 8; ++variant) {
      Attempt attempt({.at = n, .crash = true});
      fired = attempt.fired;
      const CrashMode mode = variant == 0   ? CrashMode::kKeepAll
                             : variant == 1 ? CrashMode::kDropUnsynced
                                            : CrashMode::kTorn;
      attempt.fs.Crash(mode, variant * 1000 + n);
      ExpectOldOrNew(attempt,
                     "crash at " + std::to_string(n) + " variant " + std::to_string(variant));
    }
    if (!fired) break;
  }
}

TEST(Faults, AReportedSaveSurvivesAPowerCut) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Attempt attempt({});
    ASSERT_TRUE(attempt.status.ok());
    attempt.fs.Crash(seed == 0 ? CrashMode::kDropUnsynced : CrashMode::kTorn, seed);
    ExpectOldOrNew(attempt, "power cut after the save");
  }
}

TEST(Faults, ARemovalLeavesTheContextOrNothing) {
  for (uint64_t n = 0;; ++n) {
    bool fired = false;
    for (const CrashMode mode : {CrashMode::kKeepAll, CrashMode::kDropUnsynced}) {
      MemoryFileSystem fs;
      ManualClock clock(kTestNanos);
      ASSERT_TRUE(Catalog(fs, clock, kRoot).Save("chat", Small(1).source(), kOptions).ok());
      FaultFileSystem faulty(&fs, {.at = n, .crash = true});
      const Status status = Catalog(faulty, clock, kRoot).Remove("chat");
      fired = faulty.fired();
      fs.Crash(mode);
      Catalog catalog(fs, clock, kRoot);
      const auto before = catalog.List();
      ASSERT_TRUE(before.ok() && catalog.Recover().ok());
      const auto after = catalog.List();
      EXPECT_EQ(before->size(), after->size()) << n;
      EXPECT_EQ(Folders(fs).size(), after->size()) << n;
      EXPECT_TRUE(after->empty() || !status.ok()) << n;
      EXPECT_TRUE(after->empty() || LoadBits(fs, catalog, "chat").ok()) << n;
    }
    if (!fired) break;
  }
}

bool Holds(FileSystem& fs, Catalog& catalog, const std::string& name, uint64_t seed) {
  const auto bits = LoadBits(fs, catalog, name);
  return bits.ok() && *bits == Small(seed).LogicalBytes();
}

// A removal beside another context, of a name or of a folder without one, with a fault.
struct Removal {
  MemoryFileSystem fs;
  ManualClock clock{kTestNanos};
  Catalog catalog{fs, clock, kRoot};
  bool fired = false;
  Status status;

  Removal(const FaultPlan& plan, bool by_stamp) {
    EXPECT_TRUE(catalog.Save("other", Small(2).source(), kOptions).ok());
    const auto saved = catalog.Save(by_stamp ? "" : "chat", Small(1).source(), kOptions);
    EXPECT_TRUE(saved.ok());
    FaultFileSystem faulty(&fs, plan);
    status = Catalog(faulty, clock, kRoot).Remove(by_stamp ? saved->stamp : "chat");
    fired = faulty.fired();
  }
};

// What was to be removed is there as it was or wholly gone, and the other context is not harmed.
void ExpectThereOrGone(Removal& removal, bool by_stamp, const std::string& where) {
  ASSERT_TRUE(removal.catalog.Recover().ok()) << where;
  const auto left = removal.catalog.List();
  ASSERT_TRUE(left.ok()) << where;
  EXPECT_EQ(Folders(removal.fs).size(), left->size()) << where << ": a folder that nobody knows";
  EXPECT_TRUE(Holds(removal.fs, removal.catalog, "other", 2)) << where;
  if (left->size() == 1) return;
  ASSERT_EQ(left->size(), 2u) << where;
  EXPECT_FALSE(removal.status.ok()) << where;
  EXPECT_EQ((*left)[0].name.empty() || (*left)[1].name.empty(), by_stamp) << where;
}

TEST(Faults, ARemovalOfWhichAnyOperationFailsLeavesTheContextOrNothing) {
  for (const bool by_stamp : {false, true}) {
    for (const std::string error : kErrors) {
      for (uint64_t n = 0;; ++n) {
        const std::string where = error + " at " + std::to_string(n) + (by_stamp ? " stamp" : "");
        Removal removal({.at = n, .error = error, .count_reads = true}, by_stamp);
        ExpectThereOrGone(removal, by_stamp, where);
        if (removal.fired) continue;
        EXPECT_TRUE(removal.status.ok()) << where;
        EXPECT_GT(n, 15u) << where;
        break;
      }
    }
  }
}

// A system that refuses a call for the moment makes nothing absent.
TEST(Faults, WhatCannotBeLookedAtIsNotSaidToBeAbsent) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  const auto saved = Catalog(fs, clock, kRoot).Save("chat", Small(1).source(), kOptions);
  ASSERT_TRUE(saved.ok());
  for (const std::string& text : {std::string("chat"), saved->stamp, saved->folder}) {
    for (uint64_t n = 0;; ++n) {
      FaultFileSystem faulty(&fs, {.at = n, .error = "denied", .count_reads = true});
      const Status status = Catalog(faulty, clock, kRoot).Resolve(text).status();
      if (!faulty.fired()) break;
      EXPECT_EQ(status.name(), "denied") << text << " at " << n;
    }
  }
}

TEST(Faults, ANamedFolderIsNeverReportedRemovedByItsStamp) {
  for (uint64_t n = 0;; ++n) {
    MemoryFileSystem fs;
    ManualClock clock(kTestNanos);
    Catalog catalog(fs, clock, kRoot);
    const auto saved = catalog.Save("chat", Small(1).source(), kOptions);
    ASSERT_TRUE(saved.ok());
    FaultFileSystem faulty(&fs, {.at = n, .error = "denied", .count_reads = true});
    EXPECT_FALSE(Catalog(faulty, clock, kRoot).Remove(saved->stamp).ok()) << n;
    EXPECT_TRUE(Holds(fs, catalog, "chat", 1)) << n;
    if (!faulty.fired()) break;
  }
}

// Another process's turn, whose name cannot be read just now, must not cost it its context.
TEST(Faults, ANameThatCannotBeReadKeepsAllThatItMayPointAt) {
  for (const std::string error : kErrors) {
    for (uint64_t n = 0;; ++n) {
      MemoryFileSystem fs;
      ManualClock clock(kTestNanos);
      Catalog catalog(fs, clock, kRoot);
      ASSERT_TRUE(catalog.Save("chat", Small(1).source(), kOptions).ok());
      ASSERT_TRUE(catalog.Save("chat", Small(2).source(), kOptions).ok());
      const std::string current = (*catalog.List())[0].stamp;
      // An intent that names the folder in use, as a save leaves it whose last steps failed.
      ASSERT_TRUE(
          ReplaceFile(fs, std::string(kRoot) + "/names/.chat.intent", AsBytes(current + "\n"))
              .ok());
      FaultFileSystem faulty(&fs, {.at = n, .error = error, .count_reads = true});
      (void)Catalog(faulty, clock, kRoot).Recover();
      ASSERT_TRUE(Holds(fs, catalog, "chat", 2)) << error << " at " << n;
      if (!faulty.fired()) break;
    }
  }
}

// A file system that forgets one kind of sync: the tests above must be able to see that.
class Forgetful final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Status SyncDirectory(const std::string&) override { return {}; }
};

TEST(Faults, AMissingSyncOfAFolderIsSeenByTheseTests) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  ASSERT_TRUE(Catalog(fs, clock, kRoot).Save("chat", Small(1).source(), kOptions).ok());
  Forgetful forgetful(&fs);
  ASSERT_TRUE(Catalog(forgetful, clock, kRoot).Save("chat", Small(2).source(), kOptions).ok());
  fs.Crash(CrashMode::kDropUnsynced);
  Catalog catalog(fs, clock, kRoot);
  const auto bits = LoadBits(fs, catalog, "chat");
  EXPECT_TRUE(!bits.ok() || *bits != Small(2).LogicalBytes());
}

}  // namespace
}  // namespace gyrator

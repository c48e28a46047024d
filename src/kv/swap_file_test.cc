#include "kv/swap_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>

#include "base/fs.h"
#include "kv/kv_storage.h"
#include "kv/kv_testing.h"

namespace gyrator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// A block's bytes in memory, in pieces of sizes that are not equal.
class Block {
 public:
  static constexpr int64_t kBytes = 96;

  Block() : a_(41), b_(8), c_(47) {}
  explicit Block(uint32_t seed) : Block() {
    std::mt19937 random(seed);
    for (auto* piece : {&a_, &b_, &c_}) {
      for (std::byte& byte : *piece) byte = static_cast<std::byte>(random());
    }
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  BlockPieces pieces() {
    pieces_ = {a_, b_, c_};
    return pieces_;
  }
  bool operator==(const Block& other) const {
    return a_ == other.a_ && b_ == other.b_ && c_ == other.c_;
  }

 private:
  std::vector<std::byte> a_, b_, c_;
  std::vector<std::span<std::byte>> pieces_;
};

class Swap : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "/gyrator_swap_test_" + std::to_string(::getpid());
    ASSERT_TRUE(RemoveTree(PosixFileSystem(), root_).ok());
    ASSERT_TRUE(CreateDirectories(PosixFileSystem(), root_).ok());
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(PosixFileSystem(), root_).ok()); }

  std::unique_ptr<SwapFile> Make(uint64_t blocks_max) {
    auto swap = SwapFile::Create({.directory = root_,
                                  .block_bytes = Block::kBytes,
                                  .bytes_max = blocks_max * Block::kBytes});
    EXPECT_TRUE(swap.ok()) << swap.status().ToString();
    return swap.ok() ? *std::move(swap) : nullptr;
  }
  uint32_t Write(SwapFile& swap, uint32_t seed) {
    const auto slot = swap.Write(Block(seed).pieces());
    EXPECT_TRUE(slot.ok()) << slot.status().ToString();
    return slot.ok() ? *slot : UINT32_MAX;
  }
  void ExpectHolds(SwapFile& swap, uint32_t slot, uint32_t seed) {
    Block found;
    const Status status = swap.Read(slot, found.pieces());
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_TRUE(found == Block(seed)) << "slot " << slot;
  }
  std::vector<std::string> Names() { return *PosixFileSystem().List(root_); }
  std::string Path(const std::string& name) { return JoinPath(root_, name); }
  void MakeFile(const std::string& name, std::string_view text) {
    ASSERT_TRUE(WriteNewFile(PosixFileSystem(), Path(name), AsBytes(text)).ok());
  }

  std::string root_;
};

// While it lives, the swap file's descriptor is another file's.
class Replaced {
 public:
  Replaced(const SwapFile& swap, const char* path, int flags)
      : fd_(DescriptorOf(swap)), original_(::dup(fd_)) {
    const Descriptor other(::open(path, flags | O_CLOEXEC));
    EXPECT_EQ(fd_, ::dup2(other.get(), fd_));
  }
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;
  ~Replaced() { EXPECT_EQ(fd_, ::dup2(original_.get(), fd_)); }

 private:
  const int fd_;
  const Descriptor original_;
};

TEST_F(Swap, RandomOperationsAreThoseOfAMap) {
  constexpr uint32_t kSlots = 24;
  const uint32_t seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const auto swap = Make(kSlots);
  std::map<uint32_t, uint32_t> expected;  // slot: seed of its block
  uint64_t written = 0, read = 0, refused = 0;
  for (uint32_t i = 0; i < 20'000 && !HasFailure(); ++i) {
    if (random() % 5 < 3 - i / 5'000 % 2) {  // now more writes than releases, now fewer
      const uint32_t block = random();
      const auto slot = swap->Write(Block(block).pieces());
      uint32_t lowest = 0;
      while (expected.contains(lowest)) ++lowest;
      ASSERT_EQ(lowest < kSlots, slot.ok());
      if (slot.ok()) {
        ASSERT_EQ(lowest, *slot);
        expected[*slot] = block;
      }
      ++(slot.ok() ? written : refused);
    } else if (!expected.empty()) {
      const auto victim = std::next(expected.begin(), random() % expected.size());
      swap->Free(victim->first);
      expected.erase(victim);
    }
    for (const auto& [slot, block] : expected) ExpectHolds(*swap, slot, block);
    read += expected.size();
    const SwapStats stats = swap->stats();
    ASSERT_EQ(expected.size() * Block::kBytes, stats.bytes_in_use);
    ASSERT_THAT((std::array{stats.blocks_written, stats.blocks_read, stats.writes_failed,
                            stats.reads_failed, stats.bytes_max}),
                ElementsAre(written, read, refused, 0, kSlots * Block::kBytes));
  }
  EXPECT_GT(refused, 0u) << "the cap was never reached";
}

TEST_F(Swap, BlocksOfAPoolComeBackInAllLayers) {
  auto storage = KvStorage::Create(
      {.dtype = DType::kBF16, .num_layers = 3, .num_blocks = 5, .num_kv_heads = 2, .head_dim = 8},
      {.ops = FindOps("ref")});
  ASSERT_TRUE(storage.ok());
  const PagedKv& kv = (*storage)->view();
  const std::span all(kv.base, static_cast<size_t>(kv.total_bytes()));
  std::mt19937 random(5);
  for (std::byte& byte : all) byte = static_cast<std::byte>(random());
  std::vector<std::byte> expected(all.begin(), all.end());
  const auto layer_block = [&](int layer, int block) {
    return std::span(expected).subspan((layer * 5 + block) * kv.block_bytes(), kv.block_bytes());
  };
  for (int layer = 0; layer < 3; ++layer) {
    std::ranges::copy(layer_block(layer, 3), layer_block(layer, 1).begin());
  }
  auto swap = SwapFile::Create(
      {.directory = root_, .block_bytes = kv.block_bytes() * 3, .bytes_max = 1'000'000});
  ASSERT_TRUE(swap.ok()) << swap.status().ToString();
  const auto slot = (*swap)->Write((*storage)->Pieces(3));
  ASSERT_TRUE(slot.ok()) << slot.status().ToString();
  ASSERT_TRUE((*swap)->Read(*slot, (*storage)->Pieces(1)).ok());
  EXPECT_TRUE(std::ranges::equal(expected, all)) << "block 1 is block 3, the rest is as it was";
}

TEST_F(Swap, TheCapIsATypedErrorThatChangesNothing) {
  auto swap = SwapFile::Create(
      {.directory = root_, .block_bytes = Block::kBytes, .bytes_max = 3 * Block::kBytes - 1});
  ASSERT_TRUE(swap.ok());
  for (uint32_t slot = 0; slot < 2; ++slot) EXPECT_EQ(slot, Write(**swap, slot));
  const auto refused = (*swap)->Write(Block(9).pieces());
  EXPECT_EQ(Code::kExhausted, refused.status().code());
  EXPECT_EQ("swap_full", refused.status().name());
  EXPECT_THAT(refused.status().message(), HasSubstr("192 of at most 287 bytes in use, 96 more"));
  EXPECT_EQ(192u, (*swap)->stats().bytes_in_use);
  EXPECT_EQ(1u, (*swap)->stats().writes_failed);
  ExpectHolds(**swap, 0, 0);
  ExpectHolds(**swap, 1, 1);
  (*swap)->Free(0);
  EXPECT_EQ(0u, Write(**swap, 7));
}

TEST_F(Swap, ACapMustHoldABlockAndMayBeAnything) {
  SwapFileOptions options = {.directory = root_, .block_bytes = Block::kBytes, .bytes_max = 95};
  EXPECT_EQ(Code::kInvalidArgument, SwapFile::Create(options).status().code());
  EXPECT_THAT(SwapFile::Create(options).status().message(), HasSubstr("96 bytes) expected, 95"));
  options.bytes_max = UINT64_MAX;
  auto swap = SwapFile::Create(options);
  ASSERT_TRUE(swap.ok());
  EXPECT_EQ(0u, Write(**swap, 3));
  options.directory = Path("none");
  EXPECT_EQ(Code::kNotFound, SwapFile::Create(options).status().code());
}

TEST_F(Swap, AFullDiskChangesNothing) {
  const auto swap = Make(10);
  for (uint32_t slot = 0; slot < 3; ++slot) Write(*swap, slot);
  swap->Free(1);
  for (int i = 0; i < 2; ++i) {  // a slot used before, then a new one
    {
      const Replaced full(*swap, "/dev/full", O_RDWR);
      const auto refused = swap->Write(Block(9).pieces());
      EXPECT_EQ(Code::kExhausted, refused.status().code());
      EXPECT_EQ("no_space", refused.status().name());
      EXPECT_THAT(refused.status().message(), HasSubstr(swap->path()));
    }
    EXPECT_EQ((2u + i) * Block::kBytes, swap->stats().bytes_in_use);
    EXPECT_EQ(1u + i, swap->stats().writes_failed);
    EXPECT_EQ(i == 0 ? 1u : 3u, Write(*swap, 20 + i));
  }
  ExpectHolds(*swap, 0, 0);
  ExpectHolds(*swap, 1, 20);
  ExpectHolds(*swap, 2, 2);
  ExpectHolds(*swap, 3, 21);
}

// Writes while no file may grow past `bytes_max`.
Result<uint32_t> WriteUnderLimit(SwapFile& swap, uint64_t bytes_max) {
  rlimit before;
  EXPECT_EQ(0, ::getrlimit(RLIMIT_FSIZE, &before));
  const rlimit low = {bytes_max, before.rlim_max};
  EXPECT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &low));
  auto slot = swap.Write(Block(9).pieces());
  EXPECT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &before));
  return slot;
}

TEST_F(Swap, AWriteThatStopsHalfWayChangesNothing) {
  const auto swap = Make(10);
  for (uint32_t slot = 0; slot < 2; ++slot) Write(*swap, slot);
  for (const uint64_t part : {0, 20, 41, 60, 95}) {  // of the third block
    const auto refused = WriteUnderLimit(*swap, 2 * Block::kBytes + part);
    EXPECT_EQ(Code::kExhausted, refused.status().code()) << part;
    EXPECT_EQ("no_space", refused.status().name());
    EXPECT_EQ(2u * Block::kBytes, swap->stats().bytes_in_use);
  }
  EXPECT_EQ(5u, swap->stats().writes_failed);
  EXPECT_EQ(2u, Write(*swap, 2));
  for (uint32_t slot = 0; slot < 3; ++slot) ExpectHolds(*swap, slot, slot);
}

TEST_F(Swap, AFlippedByteIsFoundAndNamed) {
  const auto swap = Make(10);
  for (uint32_t slot = 0; slot < 3; ++slot) Write(*swap, slot);
  const int fd = DescriptorOf(*swap);
  Block found;
  for (off_t at = Block::kBytes; at < 2 * Block::kBytes; ++at) {
    char byte;
    ASSERT_EQ(1, ::pread(fd, &byte, 1, at));
    const char flipped = static_cast<char>(byte ^ 0x10);
    ASSERT_EQ(1, ::pwrite(fd, &flipped, 1, at));
    const Status status = swap->Read(1, found.pieces());
    EXPECT_EQ(Code::kCorruption, status.code()) << "byte " << at;
    EXPECT_EQ("swap_damaged", status.name());
    EXPECT_THAT(status.message(), HasSubstr("slot 1: crc32c 0x"));
    EXPECT_THAT(status.message(), HasSubstr(swap->path()));
    ASSERT_EQ(1, ::pwrite(fd, &byte, 1, at));
    ExpectHolds(*swap, 1, 1);  // the slot stayed as it was
  }
  EXPECT_EQ(static_cast<uint64_t>(Block::kBytes), swap->stats().reads_failed);
  ExpectHolds(*swap, 0, 0);
  ExpectHolds(*swap, 2, 2);
}

TEST_F(Swap, BlocksThatChangedPlacesAreFound) {
  const auto swap = Make(10);
  for (uint32_t slot = 0; slot < 2; ++slot) Write(*swap, slot);
  const int fd = DescriptorOf(*swap);
  std::byte bytes[Block::kBytes];
  ASSERT_EQ(Block::kBytes, ::pread(fd, bytes, sizeof(bytes), 0));
  ASSERT_EQ(Block::kBytes, ::pwrite(fd, bytes, sizeof(bytes), Block::kBytes));
  Block found;
  EXPECT_EQ(Code::kCorruption, swap->Read(1, found.pieces()).code());
}

TEST_F(Swap, AFileThatEndsEarlyOrCannotBeReadIsAnError) {
  const auto swap = Make(10);
  for (uint32_t slot = 0; slot < 2; ++slot) Write(*swap, slot);
  Block found;
  {
    const Replaced unreadable(*swap, "/dev/null", O_WRONLY);
    const Status status = swap->Read(1, found.pieces());
    EXPECT_EQ(Code::kIo, status.code());
    EXPECT_THAT(status.message(), HasSubstr("swap slot 1: " + swap->path()));
  }
  ASSERT_EQ(0, ::ftruncate(DescriptorOf(*swap), 2 * Block::kBytes - 1));
  const Status status = swap->Read(1, found.pieces());
  EXPECT_EQ(Code::kCorruption, status.code());
  EXPECT_EQ("swap_damaged", status.name());
  EXPECT_THAT(status.message(), HasSubstr("swap slot 1: " + swap->path()));
  EXPECT_EQ(2u, swap->stats().reads_failed);
  EXPECT_EQ(2u * Block::kBytes, swap->stats().bytes_in_use);
  ExpectHolds(*swap, 0, 0);
}

TEST_F(Swap, TheFileIsPrivateAndHasNoName) {
  const mode_t before = ::umask(0);
  const auto swap = Make(10);
  ::umask(before);
  Write(*swap, 1);
  struct stat info;
  ASSERT_EQ(0, ::fstat(DescriptorOf(*swap), &info));
  EXPECT_EQ(0600u, info.st_mode & 07777);
  EXPECT_EQ(0u, info.st_nlink);
  EXPECT_EQ(FD_CLOEXEC, ::fcntl(DescriptorOf(*swap), F_GETFD));
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_THAT(swap->path(), HasSubstr("gyrator-swap-" + std::to_string(::getpid()) + "-0"));
}

TEST_F(Swap, TwoFilesInOneDirectoryDoNotMeet) {
  const auto first = Make(4);
  const auto second = Make(4);
  for (uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(i, Write(*first, i));
    EXPECT_EQ(i, Write(*second, 100 + i));
  }
  second->Free(2);
  for (uint32_t i = 0; i < 4; ++i) ExpectHolds(*first, i, i);
  EXPECT_EQ(4u * Block::kBytes, first->stats().bytes_in_use);
  EXPECT_EQ(3u * Block::kBytes, second->stats().bytes_in_use);
}

TEST_F(Swap, NamesThatAreTakenAreLeftAlone) {
  const std::string stem = "gyrator-swap-" + std::to_string(::getpid()) + "-";
  MakeFile("victim", "");
  ASSERT_EQ(0, ::symlink(Path("victim").c_str(), Path(stem + "0").c_str()));
  MakeFile(stem + "1", "kept");
  const auto swap = Make(4);
  Write(*swap, 1);
  EXPECT_THAT(swap->path(), HasSubstr(stem + "2"));
  EXPECT_EQ(0u, PosixFileSystem().Stat(Path("victim"))->bytes);
  EXPECT_EQ("kept", *ReadFile(PosixFileSystem(), Path(stem + "1"), 100));
  EXPECT_THAT(Names(), UnorderedElementsAre("victim", stem + "0", stem + "1"));
}

TEST_F(Swap, OnlyWhatIsStaleIsRemoved) {
  MakeFile("gyrator-swap-12-0", "");  // what a kill leaves
  std::vector<std::string> kept = {
      "gyrator-swap-12",  "gyrator-swap-12-0.bak", "gyrator-swap-x-0", "gyrator-swap--0",
      "gyrator-swap-12-", "xgyrator-swap-12-0",    "gyrator-swap-1",   "other"};
  for (const std::string& name : kept) MakeFile(name, "");
  MakeFile("gyrator-swap-13-0", "bytes");
  ASSERT_EQ(0, ::symlink(Path("other").c_str(), Path("gyrator-swap-14-0").c_str()));
  ASSERT_EQ(0, ::mkdir(Path("gyrator-swap-15-0").c_str(), 0700));
  ASSERT_EQ(0, ::mkfifo(Path("gyrator-swap-16-0").c_str(), 0600));
  for (const char* number : {"13", "14", "15", "16"}) {
    kept.push_back("gyrator-swap-" + std::string(number) + "-0");
  }
  MakeFile("gyrator-swap-17-0", "");  // another user's, where the test may make one
  if (::chown(Path("gyrator-swap-17-0").c_str(), 4321, 4321) == 0) {
    kept.push_back("gyrator-swap-17-0");
  }
  Make(4);
  EXPECT_THAT(Names(), ::testing::UnorderedElementsAreArray(kept));
}

// A child that makes the file as Create() does and stops before it takes the name away.
pid_t ForkHolder(const std::string& path) {
  int ready[2];
  EXPECT_EQ(0, ::pipe(ready));
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    const char ok = fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0 ? 1 : 0;
    if (::write(ready[1], &ok, 1) == 1) ::pause();
    ::_exit(1);
  }
  char ok = 0;
  EXPECT_EQ(1, ::read(ready[0], &ok, 1));
  EXPECT_EQ(1, ok);
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

TEST_F(Swap, TheLockTellsWhoLivesNotTheId) {
  const std::string name = "gyrator-swap-999999999-0";  // no process has this id
  const pid_t child = ForkHolder(Path(name));
  Make(4);
  EXPECT_THAT(Names(), ElementsAre(name)) << "its owner lives";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  MakeFile("gyrator-swap-1-0", "");  // a process with this id lives, but does not hold it
  EXPECT_THAT(Names(), UnorderedElementsAre(name, "gyrator-swap-1-0"));
  Make(4);
  EXPECT_THAT(Names(), IsEmpty());
}

[[noreturn]] void SwapUnderTrace(const std::string& directory) {
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  ::raise(SIGSTOP);
  auto swap = SwapFile::Create(
      {.directory = directory, .block_bytes = Block::kBytes, .bytes_max = 10 * Block::kBytes});
  const bool written = swap.ok() && (*swap)->Write(Block(1).pieces()).ok();
  ::_exit(written ? 0 : 1);
}

// A child that makes and uses a swap file, stopped at its n-th system call stop (entries and exits
// count); none when it got through before.
std::optional<pid_t> ForkAndStop(const std::string& directory, int n) {
  const pid_t child = ::fork();
  if (child == 0) SwapUnderTrace(directory);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSTOPPED(status));
  for (int stop = 0; stop < n; ++stop) {
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) {
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
      return std::nullopt;
    }
  }
  return child;
}

TEST_F(Swap, AKillLeavesAnEmptyFileAtMostAndTheNextOneRemovesIt) {
  int left = 0, stops = 0;
  for (int n = 1;; ++n) {
    const auto child = ForkAndStop(root_, n);
    if (!child) break;
    ::kill(*child, SIGKILL);
    ::waitpid(*child, nullptr, 0);
    ++stops;
    const auto names = Names();
    ASSERT_LE(names.size(), 1u) << "stop " << n;
    for (const std::string& name : names) {
      ++left;
      EXPECT_TRUE(name.starts_with("gyrator-swap-")) << name;
      EXPECT_EQ(0u, PosixFileSystem().Stat(Path(name))->bytes) << "stop " << n;
    }
    const auto next = Make(4);
    ASSERT_THAT(Names(), IsEmpty()) << "stop " << n;
  }
  EXPECT_GT(left, 0) << "no stop of " << stops << " lay between creation and unlink";
  EXPECT_LT(left, stops);
}

// Lets a stopped child run to its end.
void ExpectFinishes(pid_t child) {
  int status = 0;
  ::ptrace(PTRACE_DETACH, child, nullptr, nullptr);
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST_F(Swap, ACreationGoesOnWhenItsFileIsTakenForStale) {
  for (int n = 1;; ++n) {
    const auto child = ForkAndStop(root_, n);
    if (!child) break;
    SCOPED_TRACE(n);
    Make(4);
    ExpectFinishes(*child);
    ASSERT_THAT(Names(), IsEmpty());
  }
}

TEST_F(Swap, ACreationGoesOnWhenItsFileIsHeldByOneWhoLooksForStaleOnes) {
  int held = 0;
  for (int n = 1;; ++n) {
    const auto child = ForkAndStop(root_, n);
    if (!child) break;
    SCOPED_TRACE(n);
    const auto names = Names();
    ASSERT_LE(names.size(), 1u);
    const Descriptor file(names.empty() ? -1 : ::open(Path(names[0]).c_str(), O_RDWR | O_CLOEXEC));
    const bool is_held = file.get() >= 0 && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0;
    ExpectFinishes(*child);
    ASSERT_EQ(is_held ? names : std::vector<std::string>(), Names());
    if (!is_held) continue;
    ++held;
    ASSERT_EQ(0, ::unlink(Path(names[0]).c_str()));
  }
  EXPECT_GT(held, 0);
}

// The owner of a name goes on, and another takes the name, while a child looks at the file.
TEST_F(Swap, ANameThatChangedHandsIsNotRemoved) {
  const std::string path = Path("gyrator-swap-12-0");
  const auto own = [&] {
    Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    EXPECT_EQ(0, ::flock(file.get(), LOCK_EX | LOCK_NB));
    return file;
  };
  for (int n = 1;; ++n) {
    const Descriptor first = own();
    const auto child = ForkAndStop(root_, n);
    ASSERT_EQ(0, ::unlink(path.c_str())) << "stop " << n << ": removed while it was locked";
    if (!child) break;
    ::flock(first.get(), LOCK_UN);  // closing would not do: the child has it too
    const Descriptor second = own();
    ExpectFinishes(*child);
    ASSERT_EQ(0, ::unlink(path.c_str())) << "stop " << n << ": removed while it was locked";
  }
}

TEST_F(Swap, ManyProcessesInOneDirectoryDoNotDisturbEachOther) {
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    bool fine = true;
    for (uint32_t n = 0; n < 500 && fine; ++n) {
      const auto swap = Make(2);
      Block found;
      fine = swap != nullptr && swap->Write(Block(n).pieces()).ok() &&
             swap->Read(0, found.pieces()).ok() && found == Block(n);
    }
    ::_exit(fine ? 0 : 1);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  EXPECT_THAT(Names(), IsEmpty());
}

using SwapDeath = Swap;

TEST_F(SwapDeath, ReleasesAndReadsOfWhatIsNotAllocatedAreBugs) {
  const auto swap = Make(4);
  Write(*swap, 0);
  Write(*swap, 1);
  swap->Free(0);
  Block found;
  EXPECT_DEATH(swap->Free(0), "check failed: IsAllocated");
  EXPECT_DEATH(swap->Free(2), "check failed: IsAllocated");
  EXPECT_DEATH(swap->Free(3), "check failed: IsAllocated");
  EXPECT_DEATH((void)swap->Read(0, found.pieces()), "check failed: IsAllocated");
  EXPECT_DEATH((void)swap->Read(2, found.pieces()), "check failed: IsAllocated");
  EXPECT_EQ(0u, Write(*swap, 5));
}

TEST_F(SwapDeath, BytesOfAnotherSizeAreABug) {
  const auto swap = Make(4);
  Block block(1);
  Write(*swap, 1);
  EXPECT_DEATH((void)swap->Write(block.pieces().first(2)), "check failed: bytes == block_bytes_");
  EXPECT_DEATH((void)swap->Read(0, block.pieces().last(2)), "check failed: bytes == block_bytes_");
}

}  // namespace
}  // namespace gyrator

// What no ordinary save shows: rows beyond one buffer, infinities, faults and races between the
// steps of a save.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/fs_forward_testing.h"
#include "snapshot/catalog.h"
#include "snapshot/kv_rows.h"
#include "snapshot/stamp.h"
#include "snapshot/state_testing.h"

namespace gyrator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRoot[] = "/contexts";
const WriteOptions kOptions{.writer_version = "1"};
const Catalog::Accepts kAnything = [](const Snapshot&) { return Status(); };

TestState Small(uint64_t seed) {
  return TestState({.num_layers = 1, .num_kv_heads = 1, .head_dim = 2, .cp = 3, .seed = seed});
}

std::vector<std::string> Folders(FileSystem& fs) {
  std::vector<std::string> folders;
  const auto names = fs.List(kRoot);
  if (!names.ok()) return folders;
  for (const std::string& name : *names) {
    if (IsStamp(name) || name.starts_with(kTempPrefix)) folders.push_back(name);
  }
  return folders;
}

// ---- more than one buffer (256 KiB) a head -----------------------------------------------------

// 1,024 rows of f32 fill a buffer.
TestShape Long(DType dtype, int32_t cp, bool any_bits = false) {
  const int32_t head_dim = dtype == DType::kF32 ? 64 : dtype == DType::kI8 ? 256 : 128;
  return {.dtype = dtype, .num_layers = 1, .head_dim = head_dim, .cp = cp, .any_bits = any_bits};
}

TestState LongState(const TestShape& shape) {
  TestState state(shape);
  state.identity.SetInt("cache_capacity", 8192);
  return state;
}

class Buffers : public ::testing::TestWithParam<std::tuple<DType, int32_t>> {};
INSTANTIATE_TEST_SUITE_P(Types, Buffers,
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kF16, DType::kBF16,
                                                              DType::kI8),
                                            ::testing::Values(1023, 1024, 1025, 2500)));

TEST_P(Buffers, EveryRowOfALongHeadIsGivenBack) {
  const auto [dtype, cp] = GetParam();
  TestShape shape = Long(dtype, cp);
  const TestState state = LongState(shape);
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  shape.seed = 99;
  TestState loaded = LongState(shape);
  const auto snapshot = OpenSnapshot(fs, written.folder);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  ASSERT_TRUE(LoadKv(fs, *snapshot, loaded.kv(), loaded.blocks(), {}).ok());
  EXPECT_EQ(loaded.LogicalBytes(), state.LogicalBytes());
}

// The bits of infinity, in the row of a position.
void PutInfinity(TestState* state, int32_t position) {
  const HeadPlace place = {.layer = 0, .tensor = KvTensor::kValue, .kv_head = 1};
  std::vector<std::byte> row(static_cast<size_t>(
      KvRowBytes(GeometryOf(state->kv()), KvTensor::kValue)));
  GatherRows(state->kv(), state->blocks(), place, position, row);
  const uint32_t f32 = 0x7f800000u;
  const uint16_t half = state->shape.dtype == DType::kF16 ? 0x7c00 : 0x7f80;
  const bool wide = state->shape.dtype == DType::kF32;
  std::memcpy(row.data(), wide ? static_cast<const void*>(&f32) : &half, wide ? 4 : 2);
  ScatterRows(state->kv(), state->blocks(), place, position, row);
}

TEST(Infinities, AreRefusedInWhicheverBufferTheyAre) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int32_t position : {0, 1023, 1024, 2047, 2048, 2499}) {
      TestState state = LongState(Long(dtype, 2500));
      PutInfinity(&state, position);
      MemoryFileSystem fs;
      ManualClock clock(kTestNanos);
      const Status refused = WriteSnapshot(fs, clock, kRoot, state.source(), kOptions).status();
      EXPECT_EQ(refused.name(), "state_inconsistent") << position;
      EXPECT_THAT(refused.message(), HasSubstr("0_value.npy")) << position;
      const WrittenSnapshot written = MustWrite(fs, state, false);
      const Status read = VerifySnapshot(fs, written.folder, {}).status();
      EXPECT_EQ(read.name(), "state_inconsistent") << position;
      EXPECT_TRUE(VerifySnapshot(fs, written.folder, {.require_finite = false}).ok());
    }
  }
}

TEST(Infinities, AreWhatTheirTypeSays) {
  const auto finite16 = [](DType dtype, uint16_t bits) {
    return AllFinite(dtype, std::as_bytes(std::span(&bits, 1)));
  };
  for (const uint16_t sign : {0, 0x8000}) {
    for (const uint16_t bits : {0x7f80, 0x7f81, 0x7fbf, 0x7fc0, 0x7fff}) {
      EXPECT_FALSE(finite16(DType::kBF16, bits | sign)) << std::hex << bits;
    }
    for (const uint16_t bits : {0x7c00, 0x7c01, 0x7e00, 0x7fff}) {
      EXPECT_FALSE(finite16(DType::kF16, bits | sign)) << std::hex << bits;
    }
    EXPECT_TRUE(finite16(DType::kBF16, 0x7f7f | sign));
    EXPECT_TRUE(finite16(DType::kBF16, 0x7c00 | sign)) << "infinite as f16 alone";
    EXPECT_TRUE(finite16(DType::kF16, 0x7bff | sign));
    for (const uint32_t bits : {0x7f800000u, 0x7f800001u, 0x7fc00000u, 0x7fffffffu}) {
      const uint32_t value = bits | uint32_t{sign} << 16;
      EXPECT_FALSE(AllFinite(DType::kF32, std::as_bytes(std::span(&value, 1))));
    }
  }
}

// ---- faults between the steps --------------------------------------------------------------------

// Syncs of one folder fail while `failing`.
class FailingSync final : public ForwardingFileSystem {
 public:
  FailingSync(FileSystem* base, std::string path)
      : ForwardingFileSystem(base), path_(std::move(path)) {}
  Status SyncDirectory(const std::string& path) override {
    if (failing && path == path_ && ready()) return Status::Io(path + ": injected").Named("io");
    return ForwardingFileSystem::SyncDirectory(path);
  }

  bool failing = true;
  std::function<bool()> ready = [] { return true; };

 private:
  const std::string path_;
};

TEST(Between, NamesAreDurableBeforeAFolderGoes) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  ASSERT_TRUE(Catalog(fs, clock, kRoot).Save("chat", Small(1).source(), kOptions).ok());
  FailingSync faulty(&fs, std::string(kRoot) + "/names");
  Catalog catalog(faulty, clock, kRoot);
  // The name is replaced, and whether that is durable is not known.
  faulty.ready = [&, first = *ReadFile(fs, std::string(kRoot) + "/names/chat", 99)] {
    return *ReadFile(fs, std::string(kRoot) + "/names/chat", 99) != first;
  };
  EXPECT_FALSE(catalog.Save("chat", Small(2).source(), kOptions).ok());
  EXPECT_EQ(Folders(fs).size(), 2u) << "both stay";
  // The next save settles that and then finds no room.
  faulty.failing = false;
  fs.SetFreeBytes(4000);
  EXPECT_FALSE(catalog.Save("chat", Small(3).source(), kOptions).ok());
  fs.Crash(CrashMode::kDropUnsynced);
  Catalog after(fs, clock, kRoot);
  const auto held = after.Hold("chat");
  ASSERT_TRUE(held.ok()) << "the name points at a folder that is gone: " << held.status().ToString();
  EXPECT_TRUE(VerifySnapshot(fs, held->folder, {}).ok());
}

TEST(Between, AFolderWhoseRenameIsNotDurableGoesAgain) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  ASSERT_TRUE(CreateDirectories(fs, kRoot).ok());
  FailingSync faulty(&fs, kRoot);
  faulty.ready = [&] { return !Folders(fs).empty() && IsStamp(Folders(fs).back()); };
  for (const std::string name : {"", "chat"}) {
    const auto saved = Catalog(faulty, clock, kRoot).Save(name, Small(1).source(), kOptions);
    EXPECT_EQ(saved.status().code(), Code::kIo);
    EXPECT_THAT(Folders(fs), IsEmpty()) << "'" << name << "': a save that failed left its folder";
  }
}

// Another process that has taken a stamp after this one listed the folder.
class LateComer final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Result<std::vector<std::string>> List(const std::string& path) override {
    auto names = ForwardingFileSystem::List(path);
    if (names.ok()) std::erase_if(*names, [](const std::string& name) { return IsStamp(name); });
    return names;
  }
};

TEST(Between, AStampThatWasTakenMeanwhileIsNotUsedAgain) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  LateComer late(&fs);
  std::vector<std::string> folders;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto saved = Catalog(late, clock, kRoot).Save("", Small(seed).source(), kOptions);
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    folders.push_back(saved->folder);
  }
  EXPECT_EQ(Folders(fs).size(), 3u);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const auto snapshot = OpenSnapshot(fs, folders[seed - 1]);
    ASSERT_TRUE(snapshot.ok());
    TestState target = Small(9);
    ASSERT_TRUE(LoadKv(fs, *snapshot, target.kv(), target.blocks(), {}).ok());
    EXPECT_EQ(target.LogicalBytes(), Small(seed).LogicalBytes()) << seed;
  }
}

TEST(Between, AnImportWhoseSourceChangesWhileItIsCopiedIsRefused) {
  for (const char* path : {"/past_key_values/0_key.npy", "/chat.json", "/metadata/session.txt"}) {
    MemoryFileSystem fs;
    ManualClock clock(kTestNanos);
    const WrittenSnapshot source = MustWrite(fs, Small(1), true, "/usb");
    Catalog catalog(fs, clock, kRoot);
    const auto copied = catalog.Import("chat", source.folder, [&](const Snapshot&) {
      std::string bytes = *ReadFile(fs, source.folder + path, 1 << 20);
      bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
      fs.Damage(source.folder + path, bytes);
      return Status();
    });
    EXPECT_EQ(copied.status().name(), "manifest_mismatch") << path;
    EXPECT_THAT(Folders(fs), IsEmpty()) << path;
    EXPECT_EQ(catalog.Resolve("chat").status().code(), Code::kNotFound) << path;
  }
}

TEST(Between, AListedFileThatNobodyKnowsIsVerifiedToo) {
  MemoryFileSystem fs;
  auto files = ReadAll(fs, MustWrite(fs, Small(1)).folder);
  files["metadata/newer.bin"] = "what a newer version wrote";
  files[std::string(kManifestFile)] = ManifestOf(files);
  WriteAll(fs, "/newer", files);
  const auto snapshot = VerifySnapshot(fs, "/newer", {});
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  EXPECT_THAT(snapshot->notes, ElementsAre(HasSubstr("metadata/newer.bin")));
  for (const size_t at : {size_t{0}, size_t{10}, files["metadata/newer.bin"].size() - 1}) {
    std::string damaged = files["metadata/newer.bin"];
    damaged[at] = 'X';
    fs.Damage("/newer/metadata/newer.bin", damaged);
    const Status status = VerifySnapshot(fs, "/newer", {}).status();
    EXPECT_EQ(status.name(), "manifest_mismatch");
    EXPECT_THAT(status.message(), HasSubstr("metadata/newer.bin"));
  }
}

// ---- what the system refuses stays that ----------------------------------------------------------

// Reads of one file fail in a way.
class FailingRead final : public ForwardingFileSystem {
 public:
  FailingRead(FileSystem* base, std::string path, Status status)
      : ForwardingFileSystem(base), path_(std::move(path)), status_(std::move(status)) {}
  Result<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    if (path == path_) return status_;
    return ForwardingFileSystem::OpenForRead(path);
  }

 private:
  const std::string path_;
  const Status status_;
};

TEST(Refusals, OfTheSystemAreNotDamage) {
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, Small(1));
  for (const auto& [path, bytes] : ReadAll(fs, written.folder)) {
    for (const Status& status : {Status::Exhausted("no room").Named("no_space"),
                                 Status::Io("broken").Named("io"), Status::Io("no").Named("denied")}) {
      FailingRead faulty(&fs, JoinPath(written.folder, path), status);
      const Status found = VerifySnapshot(faulty, written.folder, {}).status();
      EXPECT_EQ(found.code(), status.code()) << path << found.ToString();
      EXPECT_EQ(found.name(), status.name()) << path;
    }
    FailingRead missing(&fs, JoinPath(written.folder, path), Status::NotFound("gone"));
    EXPECT_EQ(VerifySnapshot(missing, written.folder, {}).status().name(), "missing_element") << path;
  }
}

}  // namespace
}  // namespace gyrator

// What no ordinary save shows: rows beyond one buffer, infinities, faults and races between the
// steps of a save.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "base/fs_fault.h"
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
                         ::testing::Combine(::testing::Values(DType::kF32, DType::kF16,
                                                              DType::kBF16, DType::kI8),
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
  std::vector<std::byte> row(
      static_cast<size_t>(KvRowBytes(GeometryOf(state->kv()), KvTensor::kValue)));
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

// ---- faults between the steps
// --------------------------------------------------------------------

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

// A name was replaced, and whether that is durable is not known; then the process dies at the n-th
// operation of the next save. Gives whether it got so far.
bool DiesBehindAnUnsyncedName(uint64_t n) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  const std::string name = std::string(kRoot) + "/names/chat";
  EXPECT_TRUE(Catalog(fs, clock, kRoot).Save("chat", Small(1).source(), kOptions).ok());
  FailingSync faulty(&fs, std::string(kRoot) + "/names");
  faulty.ready = [&, first = *ReadFile(fs, name, 99)] { return *ReadFile(fs, name, 99) != first; };
  EXPECT_FALSE(Catalog(faulty, clock, kRoot).Save("chat", Small(2).source(), kOptions).ok());
  EXPECT_EQ(Folders(fs).size(), 2u) << "both stay";
  FaultFileSystem dying(&fs, {.at = n, .crash = true});
  (void)Catalog(dying, clock, kRoot).Save("chat", Small(3).source(), kOptions);
  fs.Crash(CrashMode::kDropUnsynced);
  const auto held = Catalog(fs, clock, kRoot).Hold("chat");
  EXPECT_TRUE(held.ok()) << n << ": " << held.status().ToString();
  EXPECT_TRUE(!held.ok() || VerifySnapshot(fs, held->folder, {}).ok()) << n;
  return dying.fired();
}

// A folder that cannot be removed: somebody took the right to write into it away.
class Stubborn final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Status RemoveFile(const std::string& path) override {
    if (!stays.empty() && path.starts_with(stays + "/")) {
      return Status::Io(path + ": remove: Permission denied").Named("denied");
    }
    return ForwardingFileSystem::RemoveFile(path);
  }
  std::string stays;
};

TEST(Between, AFolderThatCannotBeRemovedKeepsNoSaveFromItsName) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  Stubborn stubborn(&fs);
  Catalog catalog(stubborn, clock, kRoot);
  const auto first = catalog.Save("chat", Small(1).source(), kOptions);
  ASSERT_TRUE(first.ok());
  stubborn.stays = first->folder;
  for (const uint64_t seed : {2, 3, 4}) {
    ASSERT_TRUE(catalog.Save("chat", Small(seed).source(), kOptions).ok()) << seed;
    EXPECT_EQ(Folders(fs).size(), 2u) << "that of before goes, the stubborn one stays";
    EXPECT_EQ(catalog.List()->size(), 1u);
  }
  EXPECT_EQ(catalog.Remove("chat").name(), "denied") << "the folder is still there";
  EXPECT_EQ(Folders(fs).size(), 1u);
  ASSERT_TRUE(catalog.Save("chat", Small(5).source(), kOptions).ok());
  stubborn.stays.clear();
  ASSERT_TRUE(catalog.Recover().ok());
  EXPECT_EQ(Folders(fs).size(), 1u);
}

TEST(Between, NamesAreDurableBeforeAFolderGoes) {
  uint64_t n = 0;
  while (DiesBehindAnUnsyncedName(n)) ++n;
  EXPECT_GT(n, 50u);
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

// ---- a list
// --------------------------------------------------------------------------------------

// Counts what is read of tensors.
class Counting final : public ForwardingFileSystem {
 public:
  using ForwardingFileSystem::ForwardingFileSystem;
  Result<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    auto file = ForwardingFileSystem::OpenForRead(path);
    if (!file.ok() || !path.ends_with(".npy")) return file;
    return std::unique_ptr<ReadableFile>(std::make_unique<File>(*std::move(file), &bytes_));
  }
  uint64_t bytes() const { return bytes_; }

 private:
  class File final : public ReadableFile {
   public:
    File(std::unique_ptr<ReadableFile> file, uint64_t* bytes)
        : file_(std::move(file)), bytes_(bytes) {}
    uint64_t size() const override { return file_->size(); }
    Status ReadAt(uint64_t offset, std::span<std::byte> out) const override {
      *bytes_ += out.size();
      return file_->ReadAt(offset, out);
    }

   private:
    std::unique_ptr<ReadableFile> file_;
    uint64_t* bytes_;
  };

  uint64_t bytes_ = 0;
};

TEST(Lists, ReadNoTensor) {
  const TestState state = LongState(Long(DType::kF32, 2500));
  MemoryFileSystem fs;
  const WrittenSnapshot full = MustWrite(fs, state, true, kRoot);
  auto files = ReadAll(fs, full.folder);
  for (const std::string_view path :
       {kChatFile, kLogitsFile, kManifestFile, kProtocolFile, kSessionFile}) {
    files.erase(std::string(path));
  }
  WriteAll(fs, std::string(kRoot) + "/m1d2x3x4x5", files);
  Counting counting(&fs);
  ManualClock clock(kTestNanos);
  const auto entries = Catalog(counting, clock, kRoot).List();
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 2u);
  for (const CatalogEntry& entry : *entries) {
    EXPECT_TRUE(entry.problem.ok()) << entry.problem.ToString();
    EXPECT_EQ(entry.summary.cp, 2500) << entry.stamp;
  }
  EXPECT_LE(counting.bytes(), 10'100u) << "a header at most";
  // One that lacks its ids is told so from that alone.
  ASSERT_TRUE(fs.RemoveFile(std::string(kRoot) + "/m1d2x3x4x5/input_ids.npy").ok());
  EXPECT_FALSE((*Catalog(counting, clock, kRoot).List())[0].problem.ok());
  EXPECT_LE(counting.bytes(), 10'100u);
}

// ---- what the system refuses stays that
// ----------------------------------------------------------

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
    for (const Status& status :
         {Status::Exhausted("no room").Named("no_space"), Status::Io("broken").Named("io"),
          Status::Io("no").Named("denied")}) {
      FailingRead faulty(&fs, JoinPath(written.folder, path), status);
      const Status found = VerifySnapshot(faulty, written.folder, {}).status();
      EXPECT_EQ(found.code(), status.code()) << path << found.ToString();
      EXPECT_EQ(found.name(), status.name()) << path;
    }
    FailingRead missing(&fs, JoinPath(written.folder, path), Status::NotFound("gone"));
    EXPECT_EQ(VerifySnapshot(missing, written.folder, {}).status().name(), "missing_element")
        << path;
  }
}

}  // namespace
}  // namespace gyrator

// What was written is read back bit for bit; what was damaged is refused by name.
#include "snapshot/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "formats/npy.h"
#include "snapshot/identity.h"
#include "snapshot/state_testing.h"

namespace gyrator {
namespace {

using ::testing::HasSubstr;

// Opens and loads into a fresh state of the same shape.
Status Load(FileSystem& fs, const std::string& folder, TestState* into,
            bool require_finite = true) {
  GYRATOR_ASSIGN_OR_RETURN(const Snapshot snapshot, OpenSnapshot(fs, folder));
  return LoadKv(fs, snapshot, into->kv(), into->blocks(), {.require_finite = require_finite});
}

class RoundTrip : public ::testing::TestWithParam<std::tuple<DType, int32_t, bool>> {};

TEST_P(RoundTrip, GivesEveryBitBack) {
  const auto [dtype, cp, any_bits] = GetParam();
  const int32_t head_dim = dtype == DType::kI8 ? 64 : 6;
  TestShape shape{.dtype = dtype, .head_dim = head_dim, .cp = cp, .any_bits = any_bits};
  const TestState state(shape);
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state, !any_bits);
  const Result<Snapshot> snapshot = OpenSnapshot(fs, written.folder);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  EXPECT_EQ(snapshot->verification, Verification::kFull);
  EXPECT_EQ(snapshot->tokens, state.tokens);
  EXPECT_EQ(snapshot->positions, state.positions);
  EXPECT_EQ(snapshot->logits, state.logits);
  EXPECT_EQ(snapshot->chat, state.chat);
  EXPECT_EQ(snapshot->window, "");
  EXPECT_FALSE(snapshot->evictions.has_value());
  EXPECT_EQ(snapshot->kv, (KvGeometry{dtype, 2, 2, head_dim}));
  EXPECT_EQ(snapshot->session.Find("rng.state"), "[1,2,3,4]");
  EXPECT_EQ(snapshot->manifest.root(), written.root_digest);

  shape.seed = 99;  // other bits to begin with
  TestState loaded(shape);
  ASSERT_TRUE(Load(fs, written.folder, &loaded, !any_bits).ok());
  EXPECT_EQ(loaded.LogicalBytes(), state.LogicalBytes());
}

INSTANTIATE_TEST_SUITE_P(
    Types, RoundTrip,
    ::testing::Combine(::testing::Values(DType::kF32, DType::kF16, DType::kBF16, DType::kI8),
                       ::testing::Values(0, 1, 15, 16, 17, 40), ::testing::Bool()));

TEST(SaveLoadSave, GivesTheSameFolder) {
  const TestState state({.cp = 21});
  MemoryFileSystem fs;
  const WrittenSnapshot first = MustWrite(fs, state, true, "/a");
  TestState loaded({.cp = 21, .seed = 7});
  const Result<Snapshot> snapshot = OpenSnapshot(fs, first.folder);
  ASSERT_TRUE(LoadKv(fs, *snapshot, loaded.kv(), loaded.blocks(), {}).ok());
  loaded.tokens = snapshot->tokens;
  loaded.positions = snapshot->positions;
  loaded.logits = snapshot->logits;
  loaded.chat = snapshot->chat;
  const WrittenSnapshot second = MustWrite(fs, loaded, true, "/b");
  EXPECT_EQ(first.root_digest, second.root_digest);
  EXPECT_EQ(ReadAll(fs, first.folder), ReadAll(fs, second.folder));
}

TEST(Window, IsGivenBackAndTheChatMayReachOverWhatWasEvicted) {
  const TestState state({.cp = 21, .evicted = 9});
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  const Result<Snapshot> snapshot = OpenSnapshot(fs, written.folder);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  EXPECT_EQ(snapshot->window, state.window);
  ASSERT_TRUE(snapshot->evictions.has_value());
  EXPECT_EQ(FormatWindow(*snapshot->evictions), state.window);
  EXPECT_EQ(snapshot->evictions->ExactPositions(21), 10);
  EXPECT_THAT(snapshot->chat, HasSubstr("\"span\":[2,30]"));
  EXPECT_EQ(snapshot->cp(), 21);
  EXPECT_EQ(snapshot->protocol.minor, kFormatMinor);
  EXPECT_EQ(snapshot->protocol_text.Find("requires"), std::to_string(kFormatMinor));
  EXPECT_THAT(std::string(*snapshot->protocol_text.Find("elements")), HasSubstr(",window]"));
  EXPECT_TRUE(snapshot->notes.empty());
  TestState loaded({.cp = 21, .seed = 4});
  ASSERT_TRUE(Load(fs, written.folder, &loaded).ok());
  EXPECT_EQ(loaded.LogicalBytes(), state.LogicalBytes());
}

// Older programs do not compare the arithmetic that config.txt names since minor 4.
TEST(Protocol, EveryFolderRequiresTheMinorThatNamesItsArithmetic) {
  for (const DType dtype : {DType::kBF16, DType::kI8}) {
    for (const int32_t evicted : {0, 3}) {
      const TestState state({.dtype = dtype, .head_dim = 32, .evicted = evicted});
      MemoryFileSystem fs;
      const auto snapshot = OpenSnapshot(fs, MustWrite(fs, state).folder);
      ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
      EXPECT_GE(snapshot->protocol.minor, kIdentityMinor);
      EXPECT_EQ(snapshot->protocol_text.Find("requires"), std::to_string(snapshot->protocol.minor));
    }
  }
}

// The writer refuses what a reader would, before anything is touched.
TEST(Window, AWrongOneIsNotWritten) {
  const TestState state({.evicted = 3});
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  SnapshotSource source = state.source();
  const std::string beyond =
      "# window v1\noverflow: fifo\nmode: shift\nsinks: 0\nheadroom: 0\n"
      "evicted: 6 1,2,3\nlog: 9 fifo 0-3\n";
  for (const std::string_view text :
       {std::string_view("# window v2\n"), std::string_view(beyond)}) {
    source.window = text;
    const auto refused = WriteSnapshot(fs, clock, "/root", source, {.writer_version = "1"});
    EXPECT_EQ(refused.status().name(), "state_inconsistent") << text;
    EXPECT_THAT(refused.status().message(), HasSubstr("metadata/window.txt")) << text;
  }
  source.window = {};  // the chat still reaches beyond cp
  const auto refused = WriteSnapshot(fs, clock, "/root", source, {.writer_version = "1"});
  EXPECT_EQ(refused.status().name(), "state_inconsistent");
  EXPECT_THAT(refused.status().message(), HasSubstr("chat.json"));
  EXPECT_FALSE(fs.Stat("/root").ok());
}

// The file that a refusal must name: the changed one, or for the manifest itself any.
void ExpectRefusedNaming(const Status& status, const std::string& path) {
  ASSERT_FALSE(status.ok()) << path;
  EXPECT_EQ(status.code(), Code::kCorruption) << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(path));
  EXPECT_FALSE(status.name().empty());
}

// The smallest folder of a float type, of int8, with the files of scales, and with a window.
class Damage : public ::testing::TestWithParam<TestShape> {};
INSTANTIATE_TEST_SUITE_P(
    Types, Damage,
    ::testing::Values(
        TestShape{.num_layers = 1, .num_kv_heads = 1, .head_dim = 2, .cp = 3},
        TestShape{.dtype = DType::kI8, .num_layers = 1, .num_kv_heads = 1, .head_dim = 32, .cp = 3},
        TestShape{.num_layers = 1, .num_kv_heads = 1, .head_dim = 2, .cp = 3, .evicted = 4}),
    [](const auto& test) {
      return std::string(DTypeName(test.param.dtype)) + (test.param.evicted > 0 ? "Window" : "");
    });

TEST_P(Damage, EveryFlippedByteIsRefusedAndItsFileNamed) {
  const TestShape shape = GetParam();
  const TestState state(shape);
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  TestState target(shape);
  for (const auto& [path, bytes] : ReadAll(fs, written.folder)) {
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (const char flip : {char(0x01), char(0x80), char(0xff)}) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        fs.Damage(JoinPath(written.folder, path), damaged);
        const Status status = Load(fs, written.folder, &target);
        ASSERT_FALSE(status.ok()) << path << " byte " << at;
        if (path != kManifestFile) {
          ASSERT_EQ(status.name(), "manifest_mismatch") << path << ": " << status.ToString();
          ASSERT_THAT(status.message(), HasSubstr(path));
        } else {
          ASSERT_EQ(status.code(), Code::kCorruption) << status.ToString();
        }
      }
    }
    fs.Damage(JoinPath(written.folder, path), bytes);
  }
  EXPECT_TRUE(Load(fs, written.folder, &target).ok());
}

TEST_P(Damage, EveryRemovedFileIsRefusedAndNamed) {
  const TestState state(GetParam());
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  const auto files = ReadAll(fs, written.folder);
  TestState target(GetParam());
  ASSERT_EQ(files.size(),
            11u + (GetParam().evicted > 0 ? 1u : 0u) + KvTensorsOf(GetParam().dtype).size());
  for (const auto& [path, bytes] : files) {
    auto fewer = files;
    fewer.erase(path);
    WriteAll(fs, "/damaged", fewer);
    const Status status = Load(fs, "/damaged", &target);
    ExpectRefusedNaming(status, path);
    EXPECT_EQ(status.name(), "missing_element") << path;
  }
}

TEST_P(Damage, EveryTruncationIsRefusedAndNamed) {
  const TestState state(GetParam());
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  TestState target(GetParam());
  for (const auto& [path, bytes] : ReadAll(fs, written.folder)) {
    for (const size_t keep : {size_t{0}, size_t{1}, bytes.size() / 3, bytes.size() / 2,
                              bytes.size() - 8, bytes.size() - 1}) {
      if (keep >= bytes.size()) continue;  // an empty file, or one below 8 bytes
      fs.Damage(JoinPath(written.folder, path), bytes.substr(0, keep));
      ExpectRefusedNaming(Load(fs, written.folder, &target), path);
    }
    fs.Damage(JoinPath(written.folder, path), bytes + "x");
    ExpectRefusedNaming(Load(fs, written.folder, &target), path);
    fs.Damage(JoinPath(written.folder, path), bytes);
  }
}

TEST(DamagedFolder, AFolderOfSavedFoldersIsToldFromOne) {
  const TestState state({});
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state, true, "/backup");
  for (const char* path : {"/backup", "/backup/"}) {
    const Status status = OpenSnapshot(fs, path).status();
    EXPECT_EQ(status.name(), "not_a_context");
    EXPECT_THAT(status.message(), HasSubstr("/backup/" + written.stamp));
  }
}

TEST(DamagedFolder, SwappedSectionsAreRefused) {
  const TestState state({});
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  TestState target({});
  auto files = ReadAll(fs, written.folder);
  std::swap(files["past_key_values/0_key.npy"], files["past_key_values/1_key.npy"]);
  WriteAll(fs, "/swapped", files);
  ExpectRefusedNaming(Load(fs, "/swapped", &target), "past_key_values/0_key.npy");
}

TEST(DamagedFolder, AFileThatTheManifestDoesNotListIsRefused) {
  const TestState state({});
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  ASSERT_TRUE(WriteNewFile(fs, written.folder + "/notes.txt", AsBytes("x")).ok());
  const Result<Snapshot> snapshot = OpenSnapshot(fs, written.folder);
  EXPECT_EQ(snapshot.status().name(), "manifest_mismatch");
  EXPECT_THAT(snapshot.status().message(), HasSubstr("notes.txt"));
}

// Edits that keep the manifest true: only the meaning is wrong.
struct Edit {
  std::string path, from, to;
  std::string name;  // of the refusal
  Code code;
  std::string named = path;  // what the message says
};

void ExpectEditRefused(const std::map<std::string, std::string>& files, const Edit& edit) {
  MemoryFileSystem fs;
  auto edited = files;
  const size_t at = edited[edit.path].find(edit.from);
  ASSERT_NE(at, std::string::npos) << edit.path << " " << edit.from;
  edited[edit.path].replace(at, edit.from.size(), edit.to);
  edited[std::string(kManifestFile)] = ManifestOf(edited);
  WriteAll(fs, "/edited", edited);
  const Status status = VerifySnapshot(fs, "/edited", {}).status();
  EXPECT_EQ(status.name(), edit.name) << edit.to << ": " << status.ToString();
  EXPECT_EQ(status.code(), edit.code) << edit.to << ": " << status.ToString();
  EXPECT_THAT(status.message(), HasSubstr(edit.named)) << edit.to;
}

TEST(Meaning, ConsistentDigestsDoNotHideAWrongState) {
  const TestState state({});
  MemoryFileSystem fs;
  const auto files = ReadAll(fs, MustWrite(fs, state).folder);
  const std::string config(kConfigFile), session(kSessionFile), protocol(kProtocolFile);
  const std::vector<Edit> edits = {
      {config, "cache_position: 5", "cache_position: 6", "state_inconsistent", Code::kCorruption},
      {config, "cache_position: 5", "cache_position: 0", "state_inconsistent", Code::kCorruption},
      {config, "cache_position: 5\n", "", "missing_element", Code::kCorruption},
      {config, "n_tokens: 5", "n_tokens: 4", "state_inconsistent", Code::kCorruption},
      {session, "cp: 5", "cp: 4", "state_inconsistent", Code::kCorruption},
      {session, "cp: 5\n", "", "missing_element", Code::kCorruption},
      {config, "vocab_size: 37", "vocab_size: 3", "state_inconsistent", Code::kCorruption,
       "input_ids.npy"},
      {config, "cache_capacity: 64", "cache_capacity: 4", "state_inconsistent", Code::kCorruption},
      {config, "n_layers: 2", "n_layers: 1", "state_inconsistent", Code::kCorruption, "1_key.npy"},
      {config, "n_layers: 2", "n_layers: 3", "missing_element", Code::kCorruption, "2_key.npy"},
      {config, "n_layers: 2", "n_layers: 2000000000", "state_inconsistent", Code::kCorruption},
      {config, "head_dim: 4", "head_dim: 8", "state_inconsistent", Code::kCorruption, "0_key.npy"},
      {config, "n_kv_heads: 2", "n_kv_heads: 1", "state_inconsistent", Code::kCorruption,
       "0_key.npy"},
      {config, "dtype: float32", "dtype: float64", "state_inconsistent", Code::kCorruption},
      {config, "dtype: float32", "dtype: float16", "state_inconsistent", Code::kCorruption},
      {config, "weights_sha256", "weights_sha512", "missing_element", Code::kCorruption},
      {config, "model: ", "n_heads: 3\nmodel: ", "state_inconsistent", Code::kCorruption},
      {protocol, "protocol: v1.0", "protocol: v2.0", "unsupported_protocol", Code::kUnsupported},
      {protocol, "requires: 4", "requires: 5", "unsupported_protocol", Code::kUnsupported},
      {protocol, "byte_order: little", "byte_order: big", "unsupported_protocol",
       Code::kUnsupported},
      {protocol, "axis_order: batch,heads", "axis_order: batch,tokens", "unsupported_protocol",
       Code::kUnsupported},
      {protocol, "created: 2025", "created: 25", "state_inconsistent", Code::kCorruption},
      {protocol, "sequence: 0\n", "", "missing_element", Code::kCorruption},
      {"metadata/obfchain.txt", "# chain v1\n", "# chain v1\nxor_mask value seed=1\n",
       "chain_unknown_op", Code::kUnsupported},
      {"metadata/obfchain.txt", "# chain v1\n", "# chain v2\n", "chain_unknown_op",
       Code::kUnsupported},
      {"chat.json", "\"span\":[2,5]", "\"span\":[2,6]", "state_inconsistent", Code::kCorruption},
      {"chat.json", "\"span\":[2,5]", "\"span\":[1,5]", "state_inconsistent", Code::kCorruption},
      {"chat.json", "\"role\":\"user\"", "\"role\":7", "state_inconsistent", Code::kCorruption},
      {"chat.json", "[{", "{", "state_inconsistent", Code::kCorruption},
  };
  for (const Edit& edit : edits) ExpectEditRefused(files, edit);
}

TEST(Meaning, AWindowMustFitTheFolder) {
  const TestState state({.evicted = 4});  // ... 2 0,1,2; 5 3
  MemoryFileSystem fs;
  const auto files = ReadAll(fs, MustWrite(fs, state).folder);
  const std::string window(kWindowFile), protocol(kProtocolFile);
  const std::vector<Edit> edits = {
      {window, "evicted: 5 3", "evicted: 6 3", "state_inconsistent", Code::kCorruption},
      {window, "evicted: 5 3", "evicted: 2 3", "state_inconsistent", Code::kCorruption},
      {window, "evicted: 5 3", "evicted: 5 37", "state_inconsistent", Code::kCorruption},
      {window, "1-5", "1-6", "state_inconsistent", Code::kCorruption},
      {window, state.window, "", "state_inconsistent", Code::kCorruption},
      {"chat.json", "\"span\":[2,9]", "\"span\":[2,10]", "state_inconsistent", Code::kCorruption},
      {protocol, "requires: 4", "requires: 2", "state_inconsistent", Code::kCorruption, "requires"},
      {protocol, "requires: 4", "requires: 5", "unsupported_protocol", Code::kUnsupported},
  };
  for (const Edit& edit : edits) ExpectEditRefused(files, edit);
}

// A version before minor 3 would take the window's tokens for the whole conversation.
TEST(Meaning, AFolderWithoutAManifestMayNotHaveAWindow) {
  const TestState state({});
  MemoryFileSystem fs;
  auto files = ReadAll(fs, MustWrite(fs, state).folder);
  for (const std::string_view path :
       {kManifestFile, kProtocolFile, kSessionFile, kChatFile, kLogitsFile}) {
    files.erase(std::string(path));
  }
  WriteAll(fs, "/bare", files);
  EXPECT_TRUE(OpenSnapshot(fs, "/bare").ok());
  for (const char* path : {"metadata/window.txt", "window.txt"}) {
    auto with_window = files;
    with_window[path] = TestState({.evicted = 4}).window;
    WriteAll(fs, "/bare", with_window);
    EXPECT_EQ(OpenSnapshot(fs, "/bare").status().name(), "missing_element") << path;
  }
}

// `file` with another shape in its header and as many bytes as that takes.
std::string Reshaped(const std::string& file, DType dtype, const Shape& shape) {
  return NpyHeader(dtype, shape) +
         file.substr(128).append(4096, '\0').substr(0, *TensorBytes(dtype, shape));
}

TEST(Meaning, Int8NeedsItsScales) {
  const TestState state({.dtype = DType::kI8, .head_dim = 64});
  MemoryFileSystem fs;
  const auto files = ReadAll(fs, MustWrite(fs, state).folder);
  ASSERT_THAT(files.at("metadata/protocol.txt"), HasSubstr("minor: 4\nrequires: 4\n"));
  ASSERT_THAT(files.at("metadata/config.txt"), HasSubstr("dtype: int8\nkv_dtype: int8\n"));
  const std::string scale = "past_key_values/1_key_scale.npy", key = "past_key_values/1_key.npy";
  const std::string& bytes = files.at(scale);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::string with_nan = bytes;
  with_nan.replace(128 + 4 * 7, 4, reinterpret_cast<const char*>(&nan), 4);
  std::string config = files.at("metadata/config.txt"), odd = config, float32 = config;
  odd.replace(odd.find("head_dim: 64"), 12, "head_dim: 48");
  float32.replace(float32.find("dtype: int8"), 11, "dtype: float32");
  float32.replace(float32.find("kv_dtype: int8"), 14, "kv_dtype: f32");
  const std::tuple<std::string, std::optional<std::string>, std::string, std::string> cases[] = {
      {scale, std::nullopt, "missing_element", scale},
      {scale, Reshaped(bytes, DType::kF32, {1, 2, 5, 1}), "state_inconsistent", scale},
      {scale, Reshaped(bytes, DType::kF32, {1, 2, 5, 64}), "state_inconsistent", scale},
      {scale, Reshaped(bytes, DType::kF32, {1, 2, 4, 2}), "state_inconsistent", scale},
      {scale, Reshaped(bytes, DType::kF32, {1, 1, 5, 2}), "state_inconsistent", scale},
      {scale, Reshaped(bytes, DType::kF16, {1, 2, 5, 2}), "state_inconsistent", scale},
      {scale, bytes.substr(0, bytes.size() - 4), "state_inconsistent", scale},
      {scale, with_nan, "state_inconsistent", "not finite"},
      {key, Reshaped(files.at(key), DType::kF32, {1, 2, 5, 64}), "state_inconsistent", key},
      {key, Reshaped(files.at(key), DType::kU8, {1, 2, 5, 64}), "state_inconsistent", key},
      {"metadata/config.txt", odd, "state_inconsistent", "head_dim"},
      {"metadata/config.txt", float32, "state_inconsistent", "key_scale"},
  };
  for (const auto& [path, content, name, named] : cases) {
    auto edited = files;
    if (content) edited[path] = *content;
    if (!content) edited.erase(path);
    edited[std::string(kManifestFile)] = ManifestOf(edited);
    WriteAll(fs, "/edited", edited);
    const Status status = VerifySnapshot(fs, "/edited", {}).status();
    EXPECT_EQ(status.name(), name) << path << ": " << status.ToString();
    EXPECT_EQ(status.code(), Code::kCorruption);
    EXPECT_THAT(status.message(), HasSubstr(named));
  }
}

// Another header that the format allows: by way of memory, the same bits.
TEST(Meaning, Int8InFortranOrderOrBigEndianGivesTheSameBits) {
  const TestShape shape{.dtype = DType::kI8, .num_kv_heads = 1, .head_dim = 32, .cp = 1};
  const TestState state(shape);
  MemoryFileSystem fs;
  auto files = ReadAll(fs, MustWrite(fs, state).folder);
  for (auto& [path, bytes] : files) {
    if (path.find("_scale.npy") == std::string::npos) continue;
    bytes.replace(bytes.find("'<f4'"), 5, "'>f4'");
    std::reverse(bytes.begin() + 128, bytes.end());  // one number
  }
  files[std::string(kManifestFile)] = ManifestOf(files);
  WriteAll(fs, "/other", files);
  TestState loaded({.dtype = DType::kI8, .num_kv_heads = 1, .head_dim = 32, .cp = 1, .seed = 5});
  const Status status = Load(fs, "/other", &loaded);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(loaded.LogicalBytes(), state.LogicalBytes());
}

// Replaces 8-byte elements of an int64 tensor.
void SetElement(std::string* file, size_t index, int64_t value) {
  file->replace(128 + index * 8, 8, reinterpret_cast<const char*>(&value), 8);
}

TEST(Meaning, TokensMaskAndPositionsMustAgree) {
  const TestState state({});
  MemoryFileSystem fs;
  const auto files = ReadAll(fs, MustWrite(fs, state).folder);
  const std::tuple<std::string, size_t, int64_t> changes[] = {
      {"input_ids.npy", 2, 37},          {"input_ids.npy", 0, -1},
      {"input_ids.npy", 0, 1LL << 40},   {"attention_mask.npy", 4, 0},
      {"attention_mask.npy", 0, 2},      {"position_ids.npy", 1, 0},
      {"position_ids.npy", 4, 3},        {"position_ids.npy", 0, -1},
      {"position_ids.npy", 4, 1LL << 33}};
  for (const auto& [path, index, value] : changes) {
    auto edited = files;
    ASSERT_EQ(edited[path].size(), 128u + 5 * 8);
    SetElement(&edited[path], index, value);
    edited[std::string(kManifestFile)] = ManifestOf(edited);
    WriteAll(fs, "/edited", edited);
    const Result<Snapshot> snapshot = OpenSnapshot(fs, "/edited");
    EXPECT_EQ(snapshot.status().name(), "state_inconsistent") << path << " " << value;
    EXPECT_THAT(snapshot.status().message(), HasSubstr(path));
  }
}

TEST(Meaning, ValuesMustBeFinite) {
  TestState state({.any_bits = true});
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  const auto refused = WriteSnapshot(fs, clock, "/root", state.source(), {.writer_version = "1"});
  EXPECT_EQ(refused.status().name(), "state_inconsistent");
  const WrittenSnapshot written = MustWrite(fs, state, false);
  const auto verified = VerifySnapshot(fs, written.folder, {});
  EXPECT_EQ(verified.status().name(), "state_inconsistent");
  EXPECT_THAT(verified.status().message(), HasSubstr("not finite"));
  EXPECT_TRUE(VerifySnapshot(fs, written.folder, {.require_finite = false}).ok());
}

TEST(Meaning, UnknownKeysAndFilesOfANewerMinorVersionAreKept) {
  const TestState state({});
  MemoryFileSystem fs;
  auto files = ReadAll(fs, MustWrite(fs, state).folder);
  files["metadata/config.txt"] += "future_key: 1\n";
  files["metadata/session.txt"] += "mood: good\n";
  files["metadata/protocol.txt"].replace(files["metadata/protocol.txt"].find("minor: 4"), 8,
                                         "minor: 7");
  files["metadata/protocol.txt"] += "hint: x\n";
  files["future.bin"] = "something";
  files[std::string(kManifestFile)] = ManifestOf(files);
  WriteAll(fs, "/newer", files);
  const Result<Snapshot> snapshot = OpenSnapshot(fs, "/newer");
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  EXPECT_THAT(snapshot->notes, ::testing::Contains(HasSubstr("future.bin")));
  const ForeignKeys foreign = snapshot->foreign();
  EXPECT_EQ(foreign.config.Serialize(), "future_key: 1\n");
  EXPECT_EQ(foreign.session.Serialize(), "mood: good\n");
  EXPECT_EQ(foreign.protocol.Serialize(), "hint: x\n");
  SnapshotSource source = state.source();
  source.foreign = &foreign;
  ManualClock clock(kTestNanos);
  const auto again = WriteSnapshot(fs, clock, "/again", source, {.writer_version = "1"});
  const auto kept = ReadAll(fs, again->folder);
  EXPECT_THAT(kept.at("metadata/config.txt"), HasSubstr("future_key: 1\n"));
  EXPECT_THAT(kept.at("metadata/session.txt"), HasSubstr("mood: good\n"));
  EXPECT_THAT(kept.at("metadata/protocol.txt"), HasSubstr("hint: x\n"));
}

TEST(Target, AnotherGeometryOrTooFewBlocksAreRefused) {
  const TestState state({.cp = 20});
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  for (const TestShape& shape :
       {TestShape{.num_layers = 3, .cp = 20}, TestShape{.num_kv_heads = 1, .cp = 20},
        TestShape{.head_dim = 8, .cp = 20}, TestShape{.dtype = DType::kBF16, .cp = 20},
        TestShape{.dtype = DType::kI8, .head_dim = 32, .cp = 20}}) {
    TestState target(shape);
    const std::vector<std::byte> before = target.LogicalBytes();
    EXPECT_EQ(Load(fs, written.folder, &target).name(), "shape_mismatch");
    EXPECT_EQ(target.LogicalBytes(), before);
  }
  TestState small({.cp = 16});
  EXPECT_EQ(Load(fs, written.folder, &small).name(), "capacity");
}

TEST(Target, Int8AndBf16DoNotTakeEachOther) {
  const TestShape int8{.dtype = DType::kI8, .head_dim = 32, .cp = 20};
  const TestShape bf16{.dtype = DType::kBF16, .head_dim = 32, .cp = 20};
  for (const auto& [from, to] : {std::pair(int8, bf16), std::pair(bf16, int8)}) {
    MemoryFileSystem fs;
    const WrittenSnapshot written = MustWrite(fs, TestState(from));
    TestState target(to);
    const std::vector<std::byte> before = target.LogicalBytes();
    const Status status = Load(fs, written.folder, &target);
    EXPECT_EQ(status.name(), "shape_mismatch");
    EXPECT_THAT(status.message(), HasSubstr("int8"));
    EXPECT_EQ(target.LogicalBytes(), before);
  }
}

TEST(NotAContext, IsToldApart) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.CreateDirectory("/empty").ok());
  ASSERT_TRUE(WriteNewFile(fs, "/file", {}).ok());
  EXPECT_EQ(OpenSnapshot(fs, "/nowhere").status().name(), "not_found");
  EXPECT_EQ(OpenSnapshot(fs, "/empty").status().name(), "not_a_context");
  EXPECT_EQ(OpenSnapshot(fs, "/file").status().name(), "not_a_context");
  EXPECT_EQ(OpenSnapshot(fs, "/file").status().code(), Code::kNotFound);
}

TEST(Summary, HasWhatAListShows) {
  const TestState state({});
  MemoryFileSystem fs;
  const WrittenSnapshot written = MustWrite(fs, state);
  const Result<SnapshotSummary> summary = ReadSummary(fs, written.folder);
  ASSERT_TRUE(summary.ok()) << summary.status().ToString();
  EXPECT_EQ(summary->cp, 5);
  EXPECT_EQ(summary->root_digest, written.root_digest);
  EXPECT_EQ(summary->protocol.created_nanos, kTestNanos);
  EXPECT_EQ(summary->config.Find("model"), "tiny test");
}

}  // namespace
}  // namespace gyrator

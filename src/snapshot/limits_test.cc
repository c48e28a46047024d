// At, below and above every limit: what the writer takes the reader takes, and what it does not
// take it refuses before it touches anything.
#include "snapshot/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "snapshot/reader.h"
#include "snapshot/state_testing.h"

namespace gyrator {
namespace {

using ::testing::HasSubstr;

constexpr char kRoot[] = "/contexts";

TestShape Tiny() { return {.num_layers = 1, .num_kv_heads = 1, .head_dim = 2, .cp = 3}; }

// Writes, verifies, loads, and writes what was loaded. Gives the first refusal.
Status RoundTrip(SnapshotSource source) {
  MemoryFileSystem fs;
  ManualClock clock(kTestNanos);
  const auto write = [&](const SnapshotSource& what) -> Result<std::string> {
    GYRATOR_ASSIGN_OR_RETURN(const WrittenSnapshot written,
                             WriteSnapshot(fs, clock, kRoot, what, {.writer_version = "1"}));
    return written.folder;
  };
  const Result<std::string> folder = write(source);
  if (!folder.ok()) {
    EXPECT_FALSE(fs.Stat(kRoot).ok()) << "refused, and something was touched";
    return folder.status();
  }
  const Result<Snapshot> snapshot = VerifySnapshot(fs, *folder, {});
  EXPECT_TRUE(snapshot.ok()) << "written, not read: " << snapshot.status().ToString();
  GYRATOR_RETURN_IF_ERROR(snapshot.status());
  EXPECT_EQ(snapshot->chat, source.chat);
  EXPECT_EQ(snapshot->window, source.window);
  EXPECT_TRUE(ReadSummary(fs, *folder).ok());
  const ForeignKeys foreign = snapshot->foreign();
  source.foreign = &foreign;
  source.chat = snapshot->chat;
  const Result<std::string> again = write(source);
  EXPECT_TRUE(again.ok()) << "read, not written again: " << again.status().ToString();
  GYRATOR_RETURN_IF_ERROR(again.status());
  return OpenSnapshot(fs, *again).status();
}

void ExpectTaken(const SnapshotSource& source, const std::string& what) {
  const Status status = RoundTrip(source);
  EXPECT_TRUE(status.ok()) << what << ": " << status.ToString();
}

void ExpectRefused(const SnapshotSource& source, const std::string& named) {
  const Status status = RoundTrip(source);
  EXPECT_EQ(status.code(), Code::kCorruption) << named << ": " << status.ToString();
  EXPECT_EQ(status.name(), "state_inconsistent") << named;
  EXPECT_THAT(status.message(), HasSubstr(named));
}

KeyValues Keys(size_t count) {
  KeyValues keys, more;
  std::string text;
  for (size_t i = 0; i < count; ++i) text += "x" + std::to_string(i) + ": y\n";
  return *KeyValues::Parse(text);
}

TEST(Limits, ForeignKeysOfEachFile) {
  const TestState state(Tiny());
  const std::pair<std::string_view, KeyValues ForeignKeys::*> files[] = {
      {kConfigFile, &ForeignKeys::config},
      {kProtocolFile, &ForeignKeys::protocol},
      {kSessionFile, &ForeignKeys::session},
      {kKeylogFile, &ForeignKeys::keylog}};
  for (const auto& [path, member] : files) {
    for (const size_t count : {kForeignKeysMax - 1, kForeignKeysMax, kForeignKeysMax + 1}) {
      ForeignKeys foreign;
      foreign.*member = Keys(count);
      SnapshotSource source = state.source();
      source.foreign = &foreign;
      if (count <= kForeignKeysMax) {
        ExpectTaken(source, std::string(path));
      } else {
        ExpectRefused(source, std::string(path));
      }
    }
  }
}

TEST(Limits, AFolderWithMoreForeignKeysIsNotRead) {
  const TestState state(Tiny());
  MemoryFileSystem fs;
  auto files = ReadAll(fs, MustWrite(fs, state).folder);
  for (const size_t count : {kForeignKeysMax, kForeignKeysMax + 1, 2 * kForeignKeysMax}) {
    auto changed = files;
    changed[std::string(kConfigFile)] += Keys(count).Serialize();
    changed[std::string(kManifestFile)] = ManifestOf(changed);
    WriteAll(fs, "/changed", changed);
    const Status status = OpenSnapshot(fs, "/changed").status();
    EXPECT_EQ(status.ok(), count <= kForeignKeysMax) << count << status.ToString();
    if (count > kForeignKeysMax) {
      EXPECT_THAT(status.message(), HasSubstr("metadata/config.txt"));
    }
  }
}

TEST(Limits, OwnKeys) {
  for (const size_t count : {kOwnKeysMax - 10, kOwnKeysMax, kOwnKeysMax + 1}) {
    TestState state(Tiny());
    const size_t own = state.session.lines().size();
    state.session.AddMissing(Keys(count - own));
    if (count <= kOwnKeysMax) {
      ExpectTaken(state.source(), "own keys");
    } else {
      ExpectRefused(state.source(), std::string(kSessionFile));
    }
  }
}

TEST(Limits, LayersHeadsAndDimensions) {
  for (const int32_t more : {-1, 0, 1}) {
    TestShape layers = Tiny(), heads = Tiny(), dims = Tiny();
    layers.num_layers = kLayersMax + more;
    heads.num_kv_heads = kKvHeadsMax + more;
    dims.head_dim = kHeadDimMax + more;
    for (const auto& [shape, key] : {std::pair(layers, "n_layers"), std::pair(heads, "n_kv_heads"),
                                     std::pair(dims, "head_dim")}) {
      const TestState state(shape);
      if (more <= 0) {
        ExpectTaken(state.source(), key);
      } else {
        ExpectRefused(state.source(), key);
      }
    }
  }
  TestShape scales{
      .dtype = DType::kI8, .num_layers = kLayersMax, .num_kv_heads = 1, .head_dim = 32, .cp = 1};
  const TestState state(scales);
  ExpectTaken(state.source(), "the most files of all");
}

TEST(Limits, LevelsOfAChat) {
  const TestState state(Tiny());
  for (const int levels : {kChatDepthMax - 3, kChatDepthMax - 2, kChatDepthMax - 1}) {
    const auto depth = static_cast<size_t>(levels);  // below the array and the message
    const std::string chat = R"([{"role":"user","content":"a","x":)" + std::string(depth, '[') +
                             std::string(depth, ']') + "}]";
    SnapshotSource source = state.source();
    source.chat = chat;
    if (levels <= kChatDepthMax - 2) {
      ExpectTaken(source, "levels");
    } else {
      ExpectRefused(source, "chat.json");
    }
    EXPECT_EQ(levels <= kChatDepthMax - 2, ParseJson(chat, kChatDepthMax).ok());
  }
}

// What grows with a conversation. Readers of minor 3 had a limit where the sizes below cluster.
TEST(Limits, AChatOfAnySize) {
  const TestState state(Tiny());
  constexpr uint64_t kMiB = 1 << 20;
  for (const uint64_t bytes : {64 * kMiB - 1, 64 * kMiB, 64 * kMiB + 1, 73 * kMiB}) {
    const std::string begin = R"([{"role":"user","content":")", end = "\"}]";
    const std::string chat = begin + std::string(bytes - begin.size() - end.size(), 'a') + end;
    SnapshotSource source = state.source();
    source.chat = chat;
    EXPECT_TRUE(RoundTrip(source).ok()) << bytes;
  }
}

TEST(Limits, ATextOfAnySize) {
  for (const uint64_t bytes : {uint64_t{200} << 10, uint64_t{256} << 10, uint64_t{5} << 20}) {
    TestState state(Tiny());
    std::string draws = "[0";
    while (draws.size() < bytes) draws += ",1234567";
    state.session.Set("rng.draws_at", draws + "]");
    EXPECT_TRUE(RoundTrip(state.source()).ok()) << bytes;
  }
}

TEST(Limits, AWindowOfAnySize) {
  const TestState state(Tiny());
  for (const uint64_t bytes : {uint64_t{32} << 20, (uint64_t{64} << 20) + 100}) {
    const auto evicted = static_cast<int32_t>(bytes / 2);
    WindowText window{.overflow = "fifo", .mode = "shift", .sinks = 0, .headroom = 0};
    window.evicted = {{.at = 1, .tokens = std::vector<TokenId>(static_cast<size_t>(evicted), 7)}};
    window.log = {{.cp = 3, .spans = {{1, 1 + evicted}}, .policy = "fifo"}};
    const std::string text = FormatWindow(window);
    SnapshotSource source = state.source();
    source.window = text;
    EXPECT_TRUE(RoundTrip(source).ok()) << bytes;
  }
}

TEST(Limits, CapacityAndVocabularyArePositive) {
  for (const char* key : {"cache_capacity", "vocab_size"}) {
    for (const char* value : {"0", "-1"}) {
      TestState state({.num_layers = 1, .num_kv_heads = 1, .head_dim = 2, .cp = 0});
      state.identity.Set(key, value);
      ExpectRefused(state.source(), key);
    }
  }
}

// A tensor is never larger than config.txt has it, which shows before it is read.
TEST(Limits, TensorsAreAsLargeAsTheConfigSays) {
  const TestState state(Tiny());
  MemoryFileSystem fs;
  const auto files = ReadAll(fs, MustWrite(fs, state).folder);
  for (const char* path : {"input_ids.npy", "attention_mask.npy", "position_ids.npy", "logits.npy",
                           "past_key_values/0_key.npy", "past_key_values/0_value.npy"}) {
    auto grown = files;
    grown[path].append(kNpyHeaderBytesMax, 'x');
    grown[std::string(kManifestFile)] = ManifestOf(grown);
    WriteAll(fs, "/grown", grown);
    const Status status = OpenSnapshot(fs, "/grown").status();
    EXPECT_EQ(status.name(), "state_inconsistent") << path;
    EXPECT_THAT(status.message(), HasSubstr(path));
    EXPECT_THAT(status.message(), HasSubstr("config.txt"));
  }
}

}  // namespace
}  // namespace gyrator

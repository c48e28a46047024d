// What a load restores beside the conversation itself, so that the next save has it again: keys
// that this program does not know, and the log of evictions with the policy of each.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/fs.h"
#include "base/json.h"
#include "base/sha256.h"
#include "engine/engine_testing.h"
#include "snapshot/manifest.h"
#include "snapshot/reader.h"

namespace gyrator {
namespace {

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// Gives a file of a folder other bytes, and the folder the manifest that it deserves then.
void Replace(const std::string& folder, const std::string& path, const std::string& bytes) {
  std::ofstream(folder + "/" + path, std::ios::binary) << bytes;
  const std::string manifest = folder + "/metadata/manifest.txt";
  const auto parsed = Manifest::Parse(ReadFile(manifest));
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  std::vector<ManifestEntry> entries(parsed->entries().begin(), parsed->entries().end());
  for (ManifestEntry& entry : entries) {
    if (entry.path == path) {
      entry = {path, bytes.size(), HexText(Sha256Of(std::as_bytes(std::span(bytes))))};
    }
  }
  std::ofstream(manifest, std::ios::binary) << Manifest::FromEntries(entries).Serialize();
}

// session.txt with the draws of one message.
std::string WithoutDraws(std::string session) {
  const std::string key = "rng.draws_at: ";
  const size_t at = session.find(key);
  EXPECT_NE(std::string::npos, at);
  return session.replace(at, session.find('\n', at) - at, key + "[0]");
}

class RestoredTest : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(root_);
    EngineOptions options;
    options.context = 64;
    options.sessions_max = 4;
    options.threads = 1;
    engine_ = MakeEngine(LoadGolden("qwen3", ComputeType::kF32), options);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void UseShipped() {
    EngineOptions options;
    options.context = 256;
    options.sessions_max = 4;
    options.threads = 1;
    engine_ = MakeEngine(LoadShipped(ComputeType::kInt8), options);
  }

  std::string Save(Session& session) {
    const auto saved = session.Save({.root = root_});
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    return saved.ok() ? saved->folder : "";
  }

  std::unique_ptr<Session> Load(const std::string& folder) {
    auto loaded = engine_->LoadSession(folder, nullptr);
    EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
    return *std::move(loaded);
  }

  const std::string root_ = testing::TempDir() + "restored_test";
  std::unique_ptr<Engine> engine_;
};

TEST_F(RestoredTest, KeysThatNobodyKnowsAreInTheNextSaveAndInThatOfAFork) {
  const auto session = MakeSession(*engine_, 1);
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(2)).ok());
  const std::string folder = Save(*session);
  for (const char* path :
       {"metadata/config.txt", "metadata/session.txt", "metadata/protocol.txt"}) {
    Replace(folder, path, ReadFile(folder + "/" + path) + "colour_of_the_sea: green\n");
  }
  const auto loaded = Load(folder);
  ASSERT_TRUE(loaded->Complete(Numbers(25, 3), Steps(2)).ok());
  const auto fork = loaded->Fork({});
  ASSERT_TRUE(fork.ok()) << fork.status().ToString();
  const auto again = Load(Save(*loaded));
  for (Session* each : {loaded.get(), fork->get(), again.get()}) {
    const auto snapshot = OpenSnapshot(PosixFileSystem(), Save(*each));
    ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
    const ForeignKeys foreign = snapshot->foreign();
    EXPECT_EQ("green", foreign.config.Find("colour_of_the_sea"));
    EXPECT_EQ("green", foreign.session.Find("colour_of_the_sea"));
    EXPECT_EQ("green", foreign.protocol.Find("colour_of_the_sea"));
  }
}

// The log says which policy took what; the session may have another one by now.
TEST_F(RestoredTest, TheLogOfEvictionsIsTheSameAfterALoad) {
  const auto session = MakeSession(*engine_, 1);
  std::vector<TokenId> said = Numbers(56, 1);
  ASSERT_TRUE(session->Complete(said, Steps(0)).ok());
  for (const Overflow overflow :
       {Overflow::kFifo, Overflow::kSink, Overflow::kScore, Overflow::kFifo}) {
    ASSERT_TRUE(session->SetWindow({.overflow = overflow, .sinks = 4, .headroom = 4}).ok());
    const int32_t evictions = session->info().evictions;
    while (session->info().evictions == evictions) {
      ASSERT_LT(said.size(), 1000u);
      said = Join(said, Numbers(9, 90));
      const auto reply = session->Complete(said, Steps(0));
      ASSERT_TRUE(reply.ok()) << reply.status().ToString();
    }
  }
  said.resize(said.size() - 3);  // and a rewind, which has no policy
  ASSERT_TRUE(session->Complete(Join(said, Numbers(2, 5)), Steps(0)).ok());
  const std::string folder = Save(*session);
  const std::string log = ReadFile(folder + "/metadata/window.txt");
  for (const char* policy : {" fifo ", " sink ", " score "}) {
    EXPECT_NE(std::string::npos, log.find(policy)) << log;
  }
  EXPECT_EQ(log, ReadFile(Save(*Load(folder)) + "/metadata/window.txt"));
}

// A chat.json may leave out where its messages lie, each or some of them
// (docs/formats/snapshot.md).
TEST_F(RestoredTest, AChatWithoutSomeSpansCanBeTalkedOnFromAndSaved) {
  UseShipped();
  const auto session = MakeSession(*engine_, 1);
  const Message line = {.role = "user", .content = "Hello.", .extras = {}};
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_TRUE(session->Append(line).ok());
    ASSERT_TRUE(session->Respond(Steps(5)).ok());
  }
  for (unsigned without = 0; without < 16; ++without) {
    const std::string folder = Save(*session);
    Json chat = *ParseJson(ReadFile(folder + "/chat.json"), 16);
    ASSERT_EQ(chat.size(), 4u);
    for (unsigned i = 0; i < 4; ++i) {
      if ((without >> i & 1) != 0) chat[i].erase("span");
    }
    Replace(folder, "chat.json", DumpJson(chat));
    const auto loaded = Load(folder);
    ASSERT_TRUE(loaded->Append(line).ok());
    ASSERT_TRUE(loaded->Respond(Steps(5)).ok()) << without;
    const auto again = Load(Save(*loaded));
    EXPECT_TRUE(std::ranges::equal(again->transcript(), loaded->transcript())) << without;
    EXPECT_EQ(again->all_tokens(), loaded->all_tokens()) << without;
    ASSERT_TRUE(again->Rewind(3).ok());
    ASSERT_TRUE(again->Respond(Steps(5)).ok()) << without;
    (void)Load(Save(*again));
  }
}

// One message that is said to lie over all tokens, the reply's among them.
TEST_F(RestoredTest, ASpanThatReachesOverTheReplyCrossesNoOther) {
  UseShipped();
  const auto session = MakeSession(*engine_, 1);
  ASSERT_TRUE(session->Append({.role = "user", .content = "Hello.", .extras = {}}).ok());
  ASSERT_TRUE(session->Respond(Steps(40)).ok());
  const std::string folder = Save(*session);
  Json chat = *ParseJson(ReadFile(folder + "/chat.json"), 16);
  chat.erase(1);
  chat[0]["span"] = {0, session->all_tokens().size()};
  Replace(folder, "chat.json", DumpJson(chat));
  Replace(folder, "metadata/session.txt", WithoutDraws(ReadFile(folder + "/metadata/session.txt")));
  const auto loaded = Load(folder);
  ASSERT_TRUE(loaded->Respond(Steps(60)).ok());
  (void)Load(Save(*loaded));
}

// What is known as tokens only may be replaced, or leave the window: it is saved as far as it is
// there, and read back from all tokens.
TEST_F(RestoredTest, AnOpaquePrefixIsSavedAsFarAsItIsThere) {
  UseShipped();
  const auto session = MakeSession(*engine_, 1);
  ASSERT_TRUE(session->Complete(Numbers(100, 3), Steps(0)).ok());
  const std::string folder = Save(*session);
  for (const char* file : {"chat.json", "logits.npy", "metadata/manifest.txt",
                           "metadata/session.txt", "metadata/protocol.txt", "metadata/keylog.txt",
                           "metadata/obfchain.txt", "metadata/window.txt"}) {
    std::filesystem::remove(folder + "/" + file);
  }
  const auto replaced = Load(folder), evicting = Load(folder);
  ASSERT_TRUE(replaced->info().opaque_prefix);
  ASSERT_TRUE(replaced->Complete(Numbers(3, 3), Steps(0)).ok());
  EXPECT_EQ(replaced->tokens(), Load(Save(*replaced))->tokens());
  ASSERT_TRUE(evicting->SetWindow({.overflow = Overflow::kFifo}).ok());
  ASSERT_GT(*evicting->MakeRoom(10), 0);
  const auto again = Load(Save(*evicting));
  EXPECT_EQ(evicting->all_tokens(), again->all_tokens());
  for (Session* each : {evicting.get(), again.get()}) {
    ASSERT_TRUE(each->Append({.role = "user", .content = "Hello.", .extras = {}}).ok());
  }
  const auto here = evicting->Respond(Steps(5)), there = again->Respond(Steps(5));
  ASSERT_TRUE(here.ok() && there.ok()) << there.status().ToString();
  EXPECT_EQ(here->tokens, there->tokens);
  EXPECT_EQ(evicting->all_tokens(), again->all_tokens());
}

// The whole of a session's metadata is the same after a load and a save, but for what names the
// save itself.
TEST_F(RestoredTest, AContextThatWasLoadedSavesTheSameFiles) {
  SessionOptions options;
  options.sampler = {.temperature = 0.7f, .top_k = 9, .repeat_penalty = 1.1f, .seed = 42};
  options.sampler.logit_bias = {{3, 1.5f}};
  const auto session = *engine_->NewSession(options);
  ASSERT_TRUE(session->Complete(Numbers(20, 3), Steps(5)).ok());
  const std::string first = Save(*session);
  const std::string second = Save(*Load(first));
  ASSERT_NE(first, second);
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(first)) {
    if (!entry.is_regular_file()) continue;
    const std::string path = std::filesystem::relative(entry.path(), first);
    ++files;
    std::string here = ReadFile(first + "/" + path), there = ReadFile(second + "/" + path);
    const bool names_its_save = path == "metadata/manifest.txt" || path == "metadata/protocol.txt";
    if (path == "metadata/session.txt") {  // the parent is the save that was loaded
      const std::string none = "parent: none\n";
      const size_t at = here.find(none);
      ASSERT_NE(std::string::npos, at);
      here.erase(at, none.size());
      there.erase(at, there.find('\n', at) + 1 - at);
    }
    if (names_its_save) continue;
    EXPECT_EQ(here, there) << path;
  }
  EXPECT_GT(files, 8u);
}

}  // namespace
}  // namespace gyrator

// What fork, rewind and edit drop is gone from saved folders; what is kept is a prefix, to the bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/engine_testing.h"
#include "gyrator/contexts.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;

class DroppedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    EngineOptions options;
    options.context = 256;
    options.sessions_max = 6;
    options.threads = 1;
    engine_ = MakeEngine(LoadShipped(ComputeType::kInt8), options);
  }
  void TearDown() override { fs::remove_all(root_); }

  void Say(Session& session, const std::string& text, int32_t tokens = 10) {
    ASSERT_TRUE(session.Append({.role = "user", .content = text, .extras = {}}).ok());
    ASSERT_TRUE(session.Respond(Steps(tokens)).ok());
  }
  // Two turns; the second has the secret.
  std::unique_ptr<Session> Talk() {
    auto session = MakeSession(*engine_, 1);
    Say(*session, "My name is Ada.");
    after_first_ = session->tokens();
    Say(*session, "The secret is 4711.");
    return session;
  }
  std::string Save(Session& session) {
    auto saved = session.Save({.root = root_, .name = {}});
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    return saved.ok() ? saved->folder : std::string();
  }
  std::unique_ptr<Session> Load(const std::string& folder) {
    EXPECT_TRUE(VerifyContext(folder, {}).ok());
    auto loaded = engine_->LoadSession(folder, nullptr);
    EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
    return loaded.ok() ? *std::move(loaded) : nullptr;
  }
  // The folder holds what the messages need: `expected`, with the K and V that `whole` has for it.
  void ExpectHolds(const std::string& folder, const std::vector<TokenId>& expected,
                   const std::string& whole) {
    const auto loaded = Load(folder);
    ASSERT_NE(nullptr, loaded);
    EXPECT_EQ(expected, loaded->tokens());
    EXPECT_TRUE(loaded->last_logits().empty()) << "they belong to a token that was dropped";
    for (const auto& entry : fs::directory_iterator(folder + "/past_key_values")) {
      const fs::path all = whole / fs::path("past_key_values") / entry.path().filename();
      ExpectPrefixOfEachHead(ReadFile(entry.path()), ReadFile(all), entry.path());
    }
  }

  std::unique_ptr<Engine> engine_;
  std::string root_;
  std::vector<TokenId> after_first_;

 private:
  static std::string ReadFile(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Both are .npy files of shape (1, heads, tokens, width).
  static void ExpectPrefixOfEachHead(const std::string& kept, const std::string& all,
                                     const std::string& name) {
    const size_t heads = std::stoul(kept.substr(kept.find("(1, ") + 4));
    const std::string few = kept.substr(kept.find('\n') + 1), many = all.substr(all.find('\n') + 1);
    const size_t small = few.size() / heads, large = many.size() / heads;
    ASSERT_GT(small, 0u) << name;
    ASSERT_LT(small, large) << name;
    for (size_t head = 0; head < heads; ++head) {
      EXPECT_EQ(few.substr(head * small, small), many.substr(head * large, small)) << name;
    }
  }
};

TEST_F(DroppedTest, AForkOfTheFirstMessages) {
  const auto session = Talk();
  const std::string whole = Save(*session);
  const auto fork = session->Fork({.messages = 2, .seed = {}});
  ASSERT_TRUE(fork.ok());
  ExpectHolds(Save(**fork), after_first_, whole);
  EXPECT_GT(session->tokens().size(), after_first_.size()) << "the parent keeps its own";
  EXPECT_EQ(session->tokens(), Load(Save(*session))->tokens());
}

TEST_F(DroppedTest, ARewind) {
  const auto session = Talk();
  const std::string whole = Save(*session);
  ASSERT_TRUE(session->Rewind(2).ok());
  ExpectHolds(Save(*session), after_first_, whole);
  EXPECT_EQ(after_first_, session->tokens()) << "the session agrees with what was saved";
  const auto loaded = Load(Save(*session));
  Say(*session, "And what is my name?");
  Say(*loaded, "And what is my name?");
  EXPECT_EQ(session->tokens(), loaded->tokens());
  EXPECT_EQ(session->transcript().back(), loaded->transcript().back());
  EXPECT_EQ(session->tokens(), Load(Save(*session))->tokens()) << "nothing is dropped any more";
}

TEST_F(DroppedTest, AnEditThatWaitsForItsReply) {
  const auto session = Talk();
  const std::string whole = Save(*session);
  ASSERT_TRUE(session->Edit(2, "Hello.").ok());
  const std::string folder = Save(*session);
  ExpectHolds(folder, after_first_, whole);
  const auto loaded = Load(folder);
  const auto here = session->Respond(Steps(10)), there = loaded->Respond(Steps(10));
  ASSERT_TRUE(here.ok() && there.ok());
  EXPECT_EQ(here->tokens, there->tokens);
}

TEST_F(DroppedTest, ARewindToTheBeginning) {
  const auto session = Talk();
  ASSERT_TRUE(session->Rewind(0).ok());
  const auto loaded = Load(Save(*session));
  ASSERT_NE(nullptr, loaded);
  EXPECT_TRUE(loaded->tokens().empty());
  Say(*session, "My name is Ada.");
  Say(*loaded, "My name is Ada.");
  EXPECT_EQ(after_first_, session->tokens());
  EXPECT_EQ(after_first_, loaded->tokens());
}

TEST_F(DroppedTest, AnotherHistoryBeforeItsReply) {
  const auto session = Talk();
  const std::string whole = Save(*session);
  std::vector<Message> messages(session->transcript().begin(), session->transcript().end());
  messages.resize(2);
  messages.push_back({.role = "user", .content = "Hello.", .extras = {}});
  ASSERT_TRUE(session->SetTranscript(messages).ok());
  ExpectHolds(Save(*session), after_first_, whole);
}

TEST_F(DroppedTest, RoomThatIsMadeKeepsNothingOfIt) {
  const auto session = Talk();
  ASSERT_TRUE(session->SetWindow({.overflow = Overflow::kFifo}).ok());
  Say(*session, "Another line, which makes it longer.", 30);
  ASSERT_TRUE(session->Rewind(0).ok());
  ASSERT_GT(*session->MakeRoom(1), 0);
  const auto loaded = Load(Save(*session));
  ASSERT_NE(nullptr, loaded);
  EXPECT_TRUE(loaded->all_tokens().empty());
}

TEST_F(DroppedTest, AForkOfARewoundSession) {
  const auto session = Talk();
  const std::string whole = Save(*session);
  ASSERT_TRUE(session->Rewind(2).ok());
  const auto fork = session->Fork({});
  ASSERT_TRUE(fork.ok());
  ExpectHolds(Save(**fork), after_first_, whole);
}

// A moved window: what stays before the first evicted token is a prefix to the bit.
TEST_F(DroppedTest, ARewindBehindAndBeforeWhatWasEvicted) {
  for (const size_t kept : {size_t{8}, size_t{2}, size_t{0}}) {
    auto session = MakeSession(*engine_, 3);
    ASSERT_TRUE(session->SetWindow({.overflow = Overflow::kFifo, .headroom = 16}).ok());
    for (int turn = 0; turn < 5; ++turn) Say(*session, "Tell me more about the rain.", 50);
    ASSERT_GT(session->info().evicted, 0);
    const std::vector<TokenId> all = session->all_tokens();
    ASSERT_TRUE(session->Rewind(kept).ok());
    const std::string folder = Save(*session);
    const auto loaded = Load(folder);
    ASSERT_NE(nullptr, loaded);
    EXPECT_EQ(session->tokens(), loaded->tokens()) << kept;
    EXPECT_EQ(session->all_tokens(), loaded->all_tokens()) << kept;
    EXPECT_LT(loaded->all_tokens().size(), all.size()) << kept;
    EXPECT_TRUE(
        std::ranges::equal(loaded->all_tokens(), std::span(all).first(loaded->all_tokens().size())))
        << kept;
    ASSERT_TRUE(loaded->SetWindow(session->window()).ok());
    Say(*session, "And the snow?");
    Say(*loaded, "And the snow?");
    EXPECT_EQ(session->tokens(), loaded->tokens()) << kept;
  }
}

}  // namespace
}  // namespace gyrator

// What is saved can be loaded, however large the conversation has become.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/engine_testing.h"
#include "engine/session_snapshot.h"
#include "gyrator/contexts.h"
#include "gyrator/messages.h"
#include "snapshot/limits.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;

class LargeSave : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    EngineOptions options;
    options.context = 128;
    options.sessions_max = 3;
    options.threads = 1;
    engine_ = MakeEngine(LoadShipped(ComputeType::kInt8), options);
  }
  void TearDown() override { fs::remove_all(root_); }

  // Saves, verifies, takes in, loads, saves again: the transcript stays what it is.
  void ExpectKept(Session& session, const std::string& what) {
    const auto saved = session.Save({.root = root_, .name = "large"});
    ASSERT_TRUE(saved.ok()) << what << ": " << saved.status().ToString();
    const Status verified = VerifyContext(saved->folder, {});
    EXPECT_TRUE(verified.ok()) << what << ": " << verified.ToString();
    const auto taken = ImportContext(root_, saved->folder, "copy");
    ASSERT_TRUE(taken.ok()) << what << ": " << taken.status().ToString();
    auto loaded = engine_->LoadSession(taken->folder, nullptr);
    ASSERT_TRUE(loaded.ok()) << what << ": " << loaded.status().ToString();
    EXPECT_TRUE(std::ranges::equal(session.transcript(), (*loaded)->transcript())) << what;
    EXPECT_TRUE((*loaded)->Save({.root = root_, .name = "again"}).ok()) << what;
    EXPECT_TRUE(ShowContext(*ResolveContext(root_, "again")).ok()) << what;
    fs::remove_all(root_);
  }

  std::string root_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(LargeSave, OneMessageBeyondWhatOlderReadersTake) {
  auto session = MakeSession(*engine_, 1);
  std::string content(65u << 20, 'a');
  content.replace(1000, 6, "\n\"\\\xc3\xa9\x01");
  ASSERT_TRUE(session->Append({.role = "user", .content = content, .extras = {}}).ok());
  ExpectKept(*session, "65 MiB");
}

TEST_F(LargeSave, ManyMessages) {
  auto session = MakeSession(*engine_, 1);
  for (int i = 0; i < 140'000; ++i) {
    ASSERT_TRUE(session->Append({.role = "user", .content = "a", .extras = {}}).ok());
  }
  ExpectKept(*session, "140,000 messages");
}

TEST_F(LargeSave, MessagesAtTheSizeFromWhichTheyAreScanned) {
  for (const int64_t more : {-1, 0, 1, 100}) {
    auto session = MakeSession(*engine_, 1);
    const std::string empty = *ChatText({}, {});
    Message message{.role = "user", .content = {}, .extras = {}};
    const TokenRange none;
    const size_t frame = ChatText({&message, 1}, {&none, 1})->size() - empty.size() - 2;
    message.content.assign(
        static_cast<size_t>(static_cast<int64_t>(kParsedMessageBytesMax - frame) + more), 'b');
    ASSERT_TRUE(session->Append(message).ok());
    ExpectKept(*session, std::to_string(more));
  }
}

TEST_F(LargeSave, ExtrasOfAMessage) {
  const std::string values[] = {"\"" + std::string(3u << 20, 'x') + "\"",
                                "[" + std::string(1u << 20, ' ').replace(0, 1, "1") +
                                    ",{\"a\":[null,true,-1.5,\"\\u00e9\"]}]"};
  for (const std::string& value : values) {
    auto session = MakeSession(*engine_, 1);
    ASSERT_TRUE(session
                    ->Append({.role = "assistant",
                              .content = "hi",
                              .extras = R"({"tool_calls":[],"name":)" + value + "}"})
                    .ok());
    const auto saved = session->Save({.root = root_, .name = "large"});
    ASSERT_TRUE(saved.ok()) << saved.status().ToString();
    const auto loaded = engine_->LoadSession(saved->folder, nullptr);
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    ASSERT_TRUE((*loaded)->Save({.root = root_, .name = "again"}).ok());
    const auto again = engine_->LoadSession(*ResolveContext(root_, "again"), nullptr);
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(std::ranges::equal((*loaded)->transcript(), (*again)->transcript()));
    EXPECT_EQ(*MessagesJson(session->transcript()), *MessagesJson((*loaded)->transcript()));
    fs::remove_all(root_);
  }
}

TEST_F(LargeSave, AMessageThatIsScannedIsRefusedByWhatIsWrongWithIt) {
  const std::string filler = ",\"x\":\"" + std::string(kParsedMessageBytesMax, 'x') + "\"}";
  const std::pair<std::string, std::string> broken[] = {
      {R"({"role":"god","content":"a")", "role"},
      {R"({"role":"user","content":["a"])", "content"},
      {R"({"role":"user")", "content"},
      {R"({"role":7,"content":"a")", "role"}};
  for (const auto& [begin, named] : broken) {
    const Status status =
        ParseChat("[{\"role\":\"user\",\"content\":\"a\"}," + begin + filler + "]").status();
    EXPECT_EQ("state_inconsistent", status.name()) << begin;
    EXPECT_NE(std::string::npos, status.message().find("message 1")) << status.message();
    EXPECT_NE(std::string::npos, status.message().find(named)) << status.message();
  }
}

TEST_F(LargeSave, ASpanMayBeNull) {
  for (const std::string& filler : {std::string("a"), std::string(kParsedMessageBytesMax, 'a')}) {
    const auto chat = ParseChat(R"([{"role":"user","span":null,"content":")" + filler +
                                R"("},{"role":"assistant","content":"b","span":[2,5]}])");
    ASSERT_TRUE(chat.ok()) << chat.status().ToString();
    EXPECT_EQ(-1, chat->ranges[0].begin);
    EXPECT_EQ(2, chat->ranges[1].begin);
    EXPECT_EQ(5, chat->ranges[1].end);
    EXPECT_EQ("", chat->messages[0].extras) << "a span is no extra";
    EXPECT_EQ(filler, chat->messages[0].content);
  }
}

TEST_F(LargeSave, DrawsAreAtMostOneAMessage) {
  KeyValues keys;
  keys.Set("rng.draws_at", "[0,7,9]");
  EXPECT_EQ(3u, ReadDraws(keys, 3)->size());
  EXPECT_EQ(3u, ReadDraws(keys, 5)->size());
  EXPECT_EQ("state_inconsistent", ReadDraws(keys, 2).status().name());
  for (const char* text : {"[1,2", "[1,]", "[,1]", "1", "[-1]", "[1;2]"}) {
    keys.Set("rng.draws_at", text);
    EXPECT_EQ("state_inconsistent", ReadDraws(keys, 9).status().name()) << text;
  }
}

}  // namespace
}  // namespace gyrator

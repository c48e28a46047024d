// The record of a conversation: what changes it, what makes it dirty, what a fork and a file keep.
#include "gyrator/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json.h"
#include "base/source_path_testing.h"
#include "engine/messages.h"

namespace gyrator {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kCall = R"({"tool_calls":[{"function":{"name":"add","arguments":"{ }"}}]})";

// One turn with a tool; dirty.
Conversation Talked() {
  Conversation talk("Be brief.");
  EXPECT_TRUE(talk.AddUser("What is 1 + 2?").ok());
  EXPECT_TRUE(talk.AddAssistant("", kCall).ok());
  EXPECT_TRUE(talk.AddToolResult("call_1", "3").ok());
  EXPECT_TRUE(talk.AddAssistant("Three.").ok());
  return talk;
}

std::vector<Message> Copy(const Conversation& talk) {
  return {talk.messages().begin(), talk.messages().end()};
}

// Both hold the same conversation, under whatever id.
void ExpectSame(const Conversation& expected, const Conversation& found) {
  EXPECT_EQ(expected.system(), found.system());
  EXPECT_EQ(Copy(expected), Copy(found));
}

void ExpectRefused(const Status& status, const char* part) {
  EXPECT_EQ(Code::kInvalidArgument, status.code()) << part;
  EXPECT_THAT(status.message(), HasSubstr(part));
}

TEST(Conversation, ANewOneIsEmptyCleanAndHasItsSystem) {
  const Conversation talk("Be brief.");
  EXPECT_EQ("Be brief.", talk.system());
  EXPECT_EQ(0u, talk.messages().size());
  EXPECT_EQ(0, talk.n_past());
  EXPECT_FALSE(talk.dirty());
  EXPECT_EQ(std::nullopt, Conversation().system());
  EXPECT_EQ(std::nullopt, Conversation("").system());
}

TEST(Conversation, IdsDifferAndAre32HexDigits) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.insert(Conversation().id());
  EXPECT_EQ(100u, ids.size());
  for (const std::string& id : ids) {
    EXPECT_EQ(32u, id.size());
    EXPECT_EQ(std::string::npos, id.find_first_not_of("0123456789abcdef")) << id;
  }
}

TEST(Conversation, EveryAdditionMakesItDirtyAndPreparingItClean) {
  Conversation talk;
  const auto expect_dirty = [&talk](const Status& status) {
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_TRUE(talk.dirty());
    talk.MarkPrepared(talk.n_past() + 10);
    EXPECT_FALSE(talk.dirty());
  };
  expect_dirty(talk.AddUser("Hi"));
  expect_dirty(talk.AddAssistant("Hello."));
  expect_dirty(talk.AddToolResult("call_1", "3"));
  expect_dirty(talk.Add({.role = "user", .content = "x", .extras = R"({"name":"Ada"})"}));
  EXPECT_EQ(40, talk.n_past());
  talk.set_n_past(7);
  EXPECT_EQ(7, talk.n_past());
  EXPECT_FALSE(talk.dirty());
}

TEST(Conversation, MessagesKeepTheirExtrasAndToolResultsTheirCall) {
  const Conversation talk = Talked();
  ASSERT_EQ(4u, talk.messages().size());
  EXPECT_EQ((Message{.role = "user", .content = "What is 1 + 2?", .extras = {}}),
            talk.messages()[0]);
  EXPECT_EQ((Message{.role = "assistant", .content = "", .extras = kCall}), talk.messages()[1]);
  EXPECT_EQ((Message{.role = "tool", .content = "3", .extras = R"({"tool_call_id":"call_1"})"}),
            talk.messages()[2]);
  EXPECT_EQ((Message{.role = "assistant", .content = "Three.", .extras = {}}), talk.messages()[3]);
}

TEST(Conversation, ExtrasAreKeptCompact) {
  Conversation talk;
  ASSERT_TRUE(talk.AddAssistant("x", "{ \"b\": 1,\n \"a\": [ ] }").ok());
  EXPECT_EQ(R"({"b":1,"a":[]})", talk.messages()[0].extras);
  ASSERT_TRUE(talk.AddAssistant("x", " {} ").ok());
  EXPECT_EQ("", talk.messages()[1].extras);
}

TEST(Conversation, WhatIsNoMessageIsRefusedByNameAndChangesNothing) {
  Conversation talk = Talked();
  talk.MarkPrepared(30);
  const auto add = [&talk](std::string role, std::string content, std::string extras) {
    return talk.Add(
        {.role = std::move(role), .content = std::move(content), .extras = std::move(extras)});
  };
  ExpectRefused(add("bot", "x", ""), "found 'bot'");
  ExpectRefused(add("", "x", ""), "role");
  ExpectRefused(add("system", "x", ""), "SetSystem");
  ExpectRefused(add("user", "\xff", ""), "content");
  ExpectRefused(add("user", "x", "[1]"), "extras");
  ExpectRefused(add("user", "x", R"({"role":"system"})"), "'role'");
  ExpectRefused(add("user", "x", R"({"content":"y"})"), "'content'");
  ExpectRefused(add("tool", "x", ""), "tool_call_id");
  ExpectRefused(add("tool", "x", R"({"tool_call_id":""})"), "tool_call_id");
  ExpectRefused(add("tool", "x", R"({"tool_call_id":7})"), "tool_call_id");
  ExpectRefused(talk.AddToolResult("", "x"), "tool_call_id");
  ExpectRefused(talk.AddToolResult("\xff", "x"), "tool_call_id");
  ExpectRefused(talk.SetSystem("\xff"), "system");
  ExpectRefused(talk.Edit(0, "\xff"), "message 0");
  ExpectSame(Talked(), talk);
  EXPECT_FALSE(talk.dirty());
  EXPECT_EQ(30, talk.n_past());
}

TEST(Conversation, AnotherSystemForgetsWhatWasComputedTheSameOneNothing) {
  Conversation talk = Talked();
  talk.MarkPrepared(30);
  ASSERT_TRUE(talk.SetSystem("Be brief.").ok());
  EXPECT_FALSE(talk.dirty());
  EXPECT_EQ(30, talk.n_past());
  ASSERT_TRUE(talk.SetSystem("Be long.").ok());
  EXPECT_EQ("Be long.", talk.system());
  EXPECT_TRUE(talk.dirty());
  EXPECT_EQ(0, talk.n_past());
  talk.MarkPrepared(30);
  ASSERT_TRUE(talk.SetSystem("").ok());  // an empty one is its own, not the manager's
  EXPECT_EQ("", talk.system());
  EXPECT_TRUE(talk.dirty());
}

TEST(Conversation, AClearedSystemForgetsWhatWasComputedUnlessThereWasNone) {
  Conversation talk = Talked();
  talk.MarkPrepared(30);
  talk.ClearSystem();
  EXPECT_EQ(std::nullopt, talk.system());
  EXPECT_TRUE(talk.dirty());
  EXPECT_EQ(0, talk.n_past());
  talk.MarkPrepared(25);
  talk.ClearSystem();
  EXPECT_FALSE(talk.dirty());
  EXPECT_EQ(25, talk.n_past());
}

TEST(Conversation, AllMessagesBeginWithTheSystemWhenItIsSet) {
  Conversation talk = Talked();
  const std::vector<Message> all = talk.AllMessages();
  ASSERT_EQ(5u, all.size());
  EXPECT_EQ((Message{.role = "system", .content = "Be brief.", .extras = {}}), all[0]);
  EXPECT_EQ(Copy(talk), (std::vector<Message>(all.begin() + 1, all.end())));
  talk.ClearSystem();
  EXPECT_EQ(Copy(talk), talk.AllMessages());
}

TEST(Conversation, FormatIsALineForEachMessageWithoutSystem) {
  EXPECT_EQ("", Conversation("Be brief.").Format());
  Conversation talk("Be brief.");
  ASSERT_TRUE(talk.AddUser("Hi").ok());
  EXPECT_EQ("user: Hi", talk.Format());
  ASSERT_TRUE(talk.AddAssistant("Hello.").ok());
  EXPECT_EQ("user: Hi\nassistant: Hello.", talk.Format());
}

TEST(Conversation, TruncateRewindsToTheFirstMessages) {
  Conversation talk = Talked();
  talk.MarkPrepared(30);
  ASSERT_TRUE(talk.Truncate(4).ok());
  EXPECT_FALSE(talk.dirty());  // nothing was dropped
  ASSERT_TRUE(talk.Truncate(1).ok());
  ASSERT_EQ(1u, talk.messages().size());
  EXPECT_EQ("What is 1 + 2?", talk.messages()[0].content);
  EXPECT_TRUE(talk.dirty());
  ExpectRefused(talk.Truncate(2), "at most 1 messages expected, found 2");
  ASSERT_TRUE(talk.Truncate(0).ok());
  EXPECT_EQ(0u, talk.messages().size());
}

TEST(Conversation, EditReplacesContentAndDropsWhatFollows) {
  Conversation talk = Talked();
  talk.MarkPrepared(30);
  ExpectRefused(talk.Edit(4, "x"), "message 4");
  ExpectRefused(talk.Edit(4, "x"), "number of messages, 4");
  EXPECT_FALSE(talk.dirty());
  ASSERT_TRUE(talk.Edit(1, "Let me add.").ok());
  ASSERT_EQ(2u, talk.messages().size());
  EXPECT_EQ((Message{.role = "assistant", .content = "Let me add.", .extras = kCall}),
            talk.messages()[1]);
  EXPECT_TRUE(talk.dirty());
}

TEST(Conversation, ResetKeepsSystemAndIdAndNothingElse) {
  Conversation talk = Talked();
  const std::string id = talk.id();
  talk.set_n_past(30);
  talk.Reset();
  EXPECT_EQ(id, talk.id());
  EXPECT_EQ("Be brief.", talk.system());
  EXPECT_EQ(0u, talk.messages().size());
  EXPECT_EQ(0, talk.n_past());
  EXPECT_FALSE(talk.dirty());
}

TEST(Conversation, AForkOfADirtyOneIsDirtyAndOfACleanOneClean) {
  Conversation talk = Talked();
  talk.set_n_past(12);
  const Conversation dirty = talk.Fork();
  ExpectSame(talk, dirty);
  EXPECT_NE(talk.id(), dirty.id());
  EXPECT_TRUE(dirty.dirty());
  EXPECT_EQ(12, dirty.n_past());
  talk.MarkPrepared(30);
  const Conversation clean = talk.Fork();
  EXPECT_FALSE(clean.dirty());
  EXPECT_EQ(30, clean.n_past());
}

// Who holds the record's tokens must see that another history came into its place, or left it.
TEST(Conversation, AnAssignmentAndAMoveAreChangesOfBoth) {
  Conversation one, other, young;
  for (Conversation* each : {&one, &other}) ASSERT_TRUE(each->AddUser("Hello.").ok());
  uint64_t before = one.revision(), before_other = other.revision();
  one = std::move(other);
  EXPECT_GT(one.revision(), before);
  EXPECT_GT(other.revision(), before_other);
  before = one.revision();
  one = std::move(young);
  EXPECT_GT(one.revision(), before);
  before = one.revision();
  const Conversation last(std::move(one));
  EXPECT_GT(one.revision(), before);
}

TEST(Conversation, AForkAndItsParentShareNothing) {
  Conversation talk = Talked();
  talk.MarkPrepared(30);
  Conversation fork = talk.Fork();
  ASSERT_TRUE(fork.Edit(0, "What is 2 + 2?").ok());
  ASSERT_TRUE(fork.SetSystem("Be long.").ok());
  ExpectSame(Talked(), talk);
  EXPECT_FALSE(talk.dirty());
  EXPECT_EQ(30, talk.n_past());
}

TEST(Conversation, JsonIsIdSystemAndMessages) {
  const Conversation talk = Talked();
  EXPECT_EQ(R"({"id":")" + talk.id() + R"(","system":"Be brief.","messages":[)" +
                R"({"role":"user","content":"What is 1 + 2?"},)" +
                R"({"role":"assistant","content":null,)" + std::string(kCall).substr(1) + "," +
                R"({"role":"tool","content":"3","tool_call_id":"call_1"},)" +
                R"({"role":"assistant","content":"Three."}]})",
            talk.ToJson());
  const Conversation empty;
  EXPECT_EQ(R"({"id":")" + empty.id() + R"(","system":null,"messages":[]})", empty.ToJson());
}

TEST(Conversation, WhatIsReadBackIsEqualDirtyAndNotComputed) {
  Conversation talk = Talked();
  talk.MarkPrepared(30);
  const auto read = Conversation::FromJson(talk.ToJson());
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(talk.id(), read->id());
  ExpectSame(talk, *read);
  EXPECT_TRUE(read->dirty());
  EXPECT_EQ(0, read->n_past());
  const auto empty = Conversation::FromJson(Conversation("x").ToJson());
  ASSERT_TRUE(empty.ok());
  EXPECT_FALSE(empty->dirty());
}

TEST(Conversation, WhateverIsTakenIsReadBack) {
  Conversation talk;
  ASSERT_TRUE(talk.SetSystem("").ok());
  ASSERT_TRUE(talk.AddUser(std::string("\0\x1f\x7f \"\\", 6)).ok());
  ASSERT_TRUE(talk.AddAssistant("", R"({"tool_calls":null})").ok());
  ASSERT_TRUE(talk.AddAssistant("", R"({"tool_calls":["not", "OpenAI's"]})").ok());
  ASSERT_TRUE(talk.AddAssistant("", R"({"a":1,"a":2,"n":[1.0,1E5,-0,1e-7]})").ok());
  const int levels = kExtrasDepthMax - 1;
  const std::string deepest =
      "{\"deep\":" + std::string(levels, '[') + std::string(levels, ']') + "}";
  ASSERT_TRUE(talk.AddAssistant("", deepest).ok());
  ExpectRefused(talk.AddAssistant("", "{\"d\":" + deepest + "}"), "nested deeper");
  const auto read = Conversation::FromJson(talk.ToJson());
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  ExpectSame(talk, *read);
  EXPECT_EQ(talk.ToJson(), read->ToJson());
}

TEST(Conversation, ReadAndWrittenAsPythonHasIt) {
  std::ifstream file(SourcePath("tests/golden/messages/conversations.jsonl"));
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    const auto golden = ParseJson(line);
    ASSERT_TRUE(golden.ok());
    if (golden->contains("versions")) continue;
    const auto talk = Conversation::FromJson((*golden)["input"].get<std::string>());
    ASSERT_TRUE(talk.ok()) << (*golden)["name"] << talk.status().ToString();
    std::vector<Message> expected;
    for (const Json& message : (*golden)["messages"]) {
      expected.push_back({.role = message[0], .content = message[1], .extras = message[2]});
    }
    EXPECT_EQ((*golden)["id"].get<std::string>(), talk->id());
    EXPECT_EQ((*golden)["system"], talk->system() ? Json(*talk->system()) : Json());
    EXPECT_EQ(expected, Copy(*talk)) << (*golden)["name"];
    EXPECT_EQ((*golden)["written"].get<std::string>(), talk->ToJson()) << (*golden)["name"];
    ++cases;
  }
  EXPECT_EQ(96, cases);
}

TEST(Conversation, WhatIsBrokenIsCorruptAndNamed) {
  const std::string id = R"("id":"0123456789abcdef0123456789abcdef")";
  const std::string head = "{" + id + R"(,"system":null,"messages":)";
  const std::pair<std::string, const char*> list[] = {
      {"", "json: "},
      {"{", "json: "},
      {head + "[]", "json: "},
      {head + "[]} {}", "json: "},
      {head + "[{\"role\":\"user\",\"content\":\"\xff\"}]}", "json: "},
      {"{" + id + "," + id + R"(,"system":null,"messages":[]})", "'id' twice"},
      {head + R"([{"role":"user","role":"tool","content":""}]})", "'role' twice"},
      {"null", "an object expected, found null"},
      {"[]", "an object expected, found array"},
      {"{}", "id: a string expected, found nothing"},
      {R"({"id":1,"system":null,"messages":[]})", "id: a string expected, found number"},
      {R"({"id":"","system":null,"messages":[]})", "id: 32 hex digits expected, found ''"},
      {R"({"id":"0123456789abcdef0123456789abcdeG","system":null,"messages":[]})", "32 hex digits"},
      {R"({"id":"0123456789abcdef0123456789abcdef0","system":null,"messages":[]})", "32 hex"},
      {"{" + id + R"(,"messages":[]})", "system: a string or null expected, found nothing"},
      {"{" + id + R"(,"system":[],"messages":[]})", "system: a string or null expected"},
      {"{" + id + R"(,"system":null})", "messages: an array expected, found nothing"},
      {head + "null}", "messages: an array expected, found null"},
      {head + R"([],"kv":"x"})", "id, system and messages expected, found 'kv'"},
      {head + "[7]}", "messages[0]: an object expected, found 7"},
      {head + R"([{"role":"bot","content":"x"}]})", "messages[0].role"},
      {head + R"([{"role":"user","content":"x"},{"role":"system","content":"x"}]})",
       "messages[1]: "},
      {head + R"([{"role":"user"}]})", "messages[0].content"},
      {head + R"([{"role":"user","content":[{"type":"image_url"}]}]})", "text only"},
      {head + R"([{"role":"tool","content":"x"}]})", "messages[0]: message.tool_call_id"},
  };
  for (const auto& [json, part] : list) {
    const Status status = Conversation::FromJson(json).status();
    EXPECT_EQ(Code::kCorruption, status.code()) << json;
    EXPECT_THAT(status.message(), HasSubstr(part)) << json;
  }
}

class ConversationFile : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "conversation_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    fs::create_directories(root_);
    path_ = root_ + "/talk.json";
  }
  void TearDown() override { fs::remove_all(root_); }

  static std::string Bytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string root_, path_;
};

TEST_F(ConversationFile, IsWhatToJsonGivesAndReadsBack) {
  const Conversation talk = Talked();
  ASSERT_TRUE(talk.Save(path_).ok());
  EXPECT_EQ(talk.ToJson(), Bytes(path_));
  const auto read = Conversation::Load(path_);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(talk.id(), read->id());
  ExpectSame(talk, *read);
  EXPECT_TRUE(read->dirty());
  EXPECT_TRUE(talk.dirty());  // saving computes nothing
}

TEST_F(ConversationFile, IsReplacedNotWrittenInto) {
  const Conversation first("first"), second("second");
  ASSERT_TRUE(first.Save(path_).ok());
  fs::create_hard_link(path_, root_ + "/old.json");  // keeps the old file in sight
  ASSERT_TRUE(second.Save(path_).ok());
  EXPECT_EQ(first.ToJson(), Bytes(root_ + "/old.json"));
  EXPECT_EQ(second.ToJson(), Bytes(path_));
  EXPECT_EQ(2, std::distance(fs::directory_iterator(root_), fs::directory_iterator()));
}

TEST_F(ConversationFile, MissingAndDamagedOnesAreNamedWithTheirPath) {
  Status status = Conversation::Load(path_).status();
  EXPECT_EQ(Code::kNotFound, status.code());
  EXPECT_THAT(status.message(), HasSubstr(path_));
  std::ofstream(path_) << Talked().ToJson().substr(0, 100);
  status = Conversation::Load(path_).status();
  EXPECT_EQ(Code::kCorruption, status.code());
  EXPECT_THAT(status.message(), HasSubstr(path_));
  status = Talked().Save(root_ + "/nowhere/talk.json");
  EXPECT_EQ(Code::kNotFound, status.code());
  EXPECT_THAT(status.message(), HasSubstr("nowhere"));
}

}  // namespace
}  // namespace gyrator

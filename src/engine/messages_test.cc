// Messages as OpenAI has them: what Python's json writes reads as it should and is written as
// Python would; what is broken is named.
#include "gyrator/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/json.h"
#include "base/source_path_testing.h"
#include "engine/messages.h"

namespace gyrator {
namespace {

using ::testing::HasSubstr;

std::vector<Message> Read(std::string_view json) {
  auto messages = ParseMessages(json);
  EXPECT_TRUE(messages.ok()) << json << "\n" << messages.status().ToString();
  return messages.ok() ? *std::move(messages) : std::vector<Message>();
}

std::string Written(std::span<const Message> messages) {
  auto json = MessagesJson(messages);
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return json.ok() ? *std::move(json) : "";
}

TEST(Messages, ReadAndWrittenAsPythonHasThem) {
  std::ifstream file(SourcePath("tests/golden/messages/messages.jsonl"));
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    const auto golden = ParseJson(line);
    ASSERT_TRUE(golden.ok());
    if (golden->contains("versions")) continue;
    std::vector<Message> expected;
    for (const Json& message : (*golden)["messages"]) {
      expected.push_back({.role = message[0], .content = message[1], .extras = message[2]});
    }
    const std::vector<Message> read = Read((*golden)["input"].get<std::string>());
    EXPECT_EQ(expected, read) << (*golden)["name"];
    EXPECT_EQ((*golden)["written"].get<std::string>(), Written(read)) << (*golden)["name"];
    EXPECT_EQ(read, Read(Written(read))) << (*golden)["name"];
    ++cases;
  }
  EXPECT_EQ(32, cases);
}

TEST(Messages, TheOldNameOfTheSystemRoleIsNotTheOnlyOne) {
  const auto messages = Read(R"([{"role":"developer","content":"Be brief."}])");
  ASSERT_EQ(1u, messages.size());
  EXPECT_EQ("system", messages[0].role);
  EXPECT_EQ(R"([{"role":"system","content":"Be brief."}])", Written(messages));
}

TEST(Messages, PartsOfTextAreJoined) {
  const auto messages = Read(
      R"([{"role":"user","content":[{"type":"text","text":"a "},{"type":"text","text":"b"}]}])");
  ASSERT_EQ(1u, messages.size());
  EXPECT_EQ("a b", messages[0].content);
  EXPECT_EQ("", messages[0].extras);
}

TEST(Messages, EmptyContentBesideToolCallsIsNull) {
  const std::string calls = R"("tool_calls":[{"function":{"name":"now","arguments":"{ }"}}])";
  const std::string null = R"([{"role":"assistant","content":null,)" + calls + "}]";
  EXPECT_EQ(null, Written(Read(null)));
  EXPECT_EQ(null, Written(Read(R"([{"role":"assistant","content":"",)" + calls + "}]")));
  EXPECT_EQ(null, Written(Read(R"([{"role":"assistant",)" + calls + "}]")));
  EXPECT_EQ("", Read(null)[0].content);
  EXPECT_EQ("{" + calls + "}", Read(null)[0].extras);  // arguments are the text that was sent
  const std::string user = R"([{"role":"user","content":"",)" + calls + "}]";
  EXPECT_EQ(user, Written(Read(user)));
}

TEST(Messages, TemplatesSeeTextWhereContentIsNull) {
  const auto json = MessagesToJson(
      Read(R"([{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"now"}}]}])"));
  ASSERT_TRUE(json.ok());
  EXPECT_EQ("", (*json)[0]["content"]);
}

// A refusal and a call of the older kind say something too.
TEST(Messages, AnAssistantThatRefusesNeedsNoContent) {
  for (const char* said :
       {R"("refusal":"No.")", R"("function_call":{"name":"f","arguments":""})"}) {
    for (const char* content : {R"("content":null,)", ""}) {
      const auto messages = Read(R"([{"role":"assistant",)" + std::string(content) + said + "}]");
      ASSERT_EQ(1u, messages.size()) << said;
      EXPECT_EQ("", messages[0].content);
      EXPECT_NE(std::string::npos, messages[0].extras.find(said)) << messages[0].extras;
    }
  }
  EXPECT_FALSE(ParseMessages(R"([{"role":"assistant","content":null,"refusal":null}])").ok());
  EXPECT_FALSE(ParseMessages(R"([{"role":"user","content":null,"refusal":"No."}])").ok());
}

TEST(Messages, UnknownFieldsAreKeptInTheirOrder) {
  const auto messages = Read(R"([{"z":1,"content":"x","name":"Ada","role":"user","a":[null]}])");
  ASSERT_EQ(1u, messages.size());
  EXPECT_EQ(R"({"z":1,"name":"Ada","a":[null]})", messages[0].extras);
  EXPECT_EQ(R"([{"role":"user","content":"x","z":1,"name":"Ada","a":[null]}])", Written(messages));
}

TEST(Messages, ANameGivenTwiceCountsOnceWithItsLastValue) {
  const auto messages = Read(R"([{"role":"user","content":"a","content":"b"}])");
  ASSERT_EQ(1u, messages.size());
  EXPECT_EQ("b", messages[0].content);
}

TEST(Messages, ManyFieldsTakeNoLongerThanTheyAreMany) {
  std::string json = R"([{"role":"user","content":"x")";
  for (int i = 0; i < 200'000; ++i) json += ",\"f" + std::to_string(i) + "\":0";
  json += "}]";
  EXPECT_EQ(json, Written(Read(json)));  // hours when each field looks for itself
}

struct Broken {
  const char* json;
  const char* message;  // a part of it
  Code code = Code::kInvalidArgument;
};

constexpr const char* kNoText = "a string or an array of parts expected, found";
constexpr const char* kRole =
    "messages[0].role: system, developer, user, assistant or tool expected";

const Broken kBroken[] = {
    {"", "messages: json: "},
    {"[", "messages: json: "},
    {"[{]", "messages: json: "},
    {"[{}] x", "messages: json: "},
    {"[{'role':'user'}]", "messages: json: "},
    {"[{\"role\":\"user\",\"content\":\"\xff\"}]", "messages: json: "},
    {R"([{"role":"user","content":"\ud800"}])", "messages: json: "},
    {R"([{"role":"user","content":"x","n":1e999}])", "messages: json: "},
    {R"([{"role":"user","content":"x","n":NaN}])", "messages: json: "},
    {"null", "messages: an array expected, found null"},
    {"7", "messages: an array expected, found 7"},
    {R"("hello")", "messages: an array expected, found 'hello'"},
    {R"({"messages":[]})", "messages: an array expected, found object"},
    {R"([{"role":"user","content":"x"},[]])", "messages[1]: an object expected, found array"},
    {"[null]", "messages[0]: an object expected, found null"},
    {R"(["user"])", "messages[0]: an object expected, found 'user'"},
    {"[{}]", kRole},
    {R"([{"content":"x"}])", "found nothing"},
    {R"([{"role":null,"content":"x"}])", "found null"},
    {R"([{"role":["user"],"content":"x"}])", "found array"},
    {R"([{"role":"","content":"x"}])", "found ''"},
    {R"([{"role":"User","content":"x"}])", "found 'User'"},
    {R"([{"role":"function","name":"f","content":"x"}])", "found 'function'"},
    {R"([{"role":"user"}])", "messages[0].content: a string or an array of parts expected"},
    {R"([{"role":"user","content":null}])", kNoText},
    {R"([{"role":"user","content":7}])", kNoText},
    {R"([{"role":"user","content":{"type":"text","text":"x"}}])", "found object"},
    {R"([{"role":"assistant","content":null}])", "found null"},
    {R"([{"role":"assistant","content":null,"tool_calls":[]}])", "found null"},
    {R"([{"role":"user","content":null,"tool_calls":[{"function":{"name":"f"}}]}])", "found null"},
    {R"([{"role":"user","content":["x"]}])",
     "messages[0].content[0]: an object expected, found 'x'"},
    {R"([{"role":"user","content":[{"text":"x"}]}])",
     "messages[0].content[0].type: a string expected, found nothing"},
    {R"([{"role":"user","content":[{"type":1,"text":"x"}]}])", "type: a string expected"},
    {R"([{"role":"user","content":[{"type":"text","text":"x"},{"type":"text"}]}])",
     "messages[0].content[1].text: a string expected, found nothing"},
    {R"([{"role":"user","content":[{"type":"text","text":null}]}])", "text: a string expected"},
    {R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])",
     "messages[0].content[0]: type 'image_url': text only", Code::kUnsupported},
    {R"([{"role":"user","content":[{"type":"text","text":""},{"type":"input_audio"}]}])",
     "messages[0].content[1]: type 'input_audio': text only", Code::kUnsupported},
    {R"([{"role":"assistant","content":"","tool_calls":{}}])",
     "messages[0].tool_calls: an array expected, found object"},
    {R"([{"role":"assistant","content":"","tool_calls":["f"]}])",
     "messages[0].tool_calls[0]: an object expected, found 'f'"},
    {R"([{"role":"assistant","content":null,"tool_calls":[{"name":"f"}]}])",
     "messages[0].tool_calls[0].function: an object expected, found nothing"},
    {R"([{"role":"assistant","content":null,"tool_calls":[{"function":{"arguments":""}}]}])",
     "messages[0].tool_calls[0].function.name: a string expected, found nothing"},
    {R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[1]}}]}])",
     "messages[0].tool_calls[0].function.arguments: a string or an object expected, found array"},
    {R"([{"role":"tool","content":"3"}])",
     "messages[0].tool_call_id: a string that is not empty expected, found nothing"},
    {R"([{"role":"tool","content":"3","tool_call_id":""}])", "tool_call_id"},
    {R"([{"role":"tool","content":"3","tool_call_id":7}])", "tool_call_id"},
};

TEST(Messages, WhatIsBrokenIsNamed) {
  for (const Broken& broken : kBroken) {
    const Status status = ParseMessages(broken.json).status();
    EXPECT_EQ(broken.code, status.code()) << broken.json;
    EXPECT_THAT(status.message(), HasSubstr(broken.message)) << broken.json;
  }
}

TEST(Messages, ALongFindIsCutBetweenCharacters) {
  std::string role;
  for (int i = 0; i < 1000; ++i) role += "€";  // three bytes: the limit falls inside one
  const Status status = ParseMessages(R"([{"role":")" + role + R"(","content":""}])").status();
  EXPECT_LT(status.message().size(), 150u);
  EXPECT_THAT(status.message(), HasSubstr("€...'"));
}

TEST(Messages, TheDeepestThatIsReadIsWrittenAndReadAgain) {
  const auto nested = [](int levels) {
    return R"([{"role":"user","content":"x","deep":)" + std::string(levels, '[') +
           std::string(levels, ']') + "}]";
  };
  EXPECT_EQ(nested(kExtrasDepthMax - 1), Written(Read(nested(kExtrasDepthMax - 1))));
  const Status status = ParseMessages(nested(kExtrasDepthMax)).status();
  EXPECT_EQ(Code::kInvalidArgument, status.code());
  EXPECT_THAT(status.message(), HasSubstr("nested deeper"));
}

TEST(Messages, OnlyFourRolesAreMessages) {
  for (const char* role : {"system", "user", "assistant", "tool"}) {
    EXPECT_TRUE(CheckMessage({.role = role, .content = "", .extras = {}}).ok()) << role;
  }
  for (const char* role : {"", "User", "developer", "function", "user "}) {
    const Status status = CheckMessage({.role = role, .content = "", .extras = {}});
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << role;
    EXPECT_THAT(status.message(), HasSubstr("'" + std::string(role) + "'"));
  }
}

TEST(Messages, WhatNoSessionTakesIsNotWritten) {
  const Message good{.role = "user", .content = "x", .extras = {}};
  const std::pair<Message, const char*> list[] = {
      {{.role = "bot", .content = "x", .extras = {}}, "role"},
      {{.role = "user", .content = "\xff", .extras = {}}, "content"},
      {{.role = "user", .content = "x", .extras = "[1]"}, "found array"},
      {{.role = "user", .content = "x", .extras = "{"}, "json: "},
      {{.role = "user", .content = "x", .extras = R"({"role":"system"})"}, "'role' belongs"},
      {{.role = "user", .content = "x", .extras = R"({"content":"y"})"}, "'content' belongs"},
  };
  for (const auto& [message, part] : list) {
    const Message both[] = {good, message};
    const Status status = MessagesJson(both).status();
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << part;
    EXPECT_THAT(status.message(), HasSubstr("messages[1]: ")) << part;
    EXPECT_THAT(status.message(), HasSubstr(part));
  }
}

}  // namespace
}  // namespace gyrator

#include "gyrator/chat_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace gyrator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr const char* kSays = R"("messages":[{"role":"user","content":"x"}])";

// A body that says something and `more`.
std::string Body(const std::string& more) {
  return std::string("{") + kSays + (more.empty() ? "" : ",") + more + "}";
}

ChatRequest Parsed(const std::string& more, const ChatDefaults& defaults = {}) {
  auto request = ParseChatRequest(Body(more), defaults);
  EXPECT_TRUE(request.ok()) << request.status().ToString();
  return request.ok() ? *std::move(request) : ChatRequest();
}

TEST(ChatRequest, MessagesAndNothingElse) {
  const ChatRequest request = Parsed("");
  ASSERT_EQ(1u, request.messages.size());
  EXPECT_EQ((Message{.role = "user", .content = "x", .extras = {}}), request.messages[0]);
  EXPECT_EQ(SamplerOptions(), request.sampler);
  EXPECT_FALSE(request.has_seed);
  EXPECT_EQ(-1, request.tokens_max);
  EXPECT_EQ(0, request.priority);
  EXPECT_FALSE(request.cancel_after_ms || request.deadline_ms || request.ignore_end);
  EXPECT_TRUE(request.ignored.empty());
}

TEST(ChatRequest, EveryFieldReachesItsPlace) {
  const ChatRequest request = Parsed(
      R"("max_tokens":7,"temperature":0.5,"top_p":0.25,"min_p":0.125,"typical_p":0.75,"top_k":3,)"
      R"("repeat_penalty":1.5,"repeat_last_n":-1,"frequency_penalty":-0.5,"presence_penalty":2,)"
      R"("logit_bias":{"5":1.5,"7":false},"seed":42,"ignore_eos":true,"priority":-3,)"
      R"("cancel_after_ms":0,"deadline_ms":1500,"cache_namespace":"a","custom_id":"c",)"
      R"("model":"any","stream":false,"n":1,"tools":[],"response_format":{"type":"text"})");
  const SamplerOptions expected = {
      .temperature = 0.5f,
      .top_k = 3,
      .top_p = 0.25f,
      .min_p = 0.125f,
      .typical_p = 0.75f,
      .repeat_penalty = 1.5f,
      .frequency_penalty = -0.5f,
      .presence_penalty = 2,
      .penalty_last_n = -1,
      .seed = 42,
      .logit_bias = {{5, 1.5f}, {7, -std::numeric_limits<float>::infinity()}}};
  EXPECT_EQ(expected, request.sampler);
  EXPECT_TRUE(request.has_seed);
  EXPECT_EQ(7, request.tokens_max);
  EXPECT_TRUE(request.ignore_end);
  EXPECT_EQ(-3, request.priority);
  EXPECT_EQ(0, request.cancel_after_ms);
  EXPECT_EQ(1500, request.deadline_ms);
  EXPECT_EQ("a", request.cache_namespace);
  EXPECT_EQ("c", request.custom_id);
  EXPECT_TRUE(request.ignored.empty());
}

TEST(ChatRequest, LlamaServersPairsOfBias) {
  EXPECT_THAT(Parsed(R"("logit_bias":[[5,1],[7,-0.5]])").sampler.logit_bias,
              ElementsAre(Pair(5, 1.0f), Pair(7, -0.5f)));
  EXPECT_TRUE(Parsed(R"("logit_bias":[])").sampler.logit_bias.empty());
}

TEST(ChatRequest, NullIsAsGoodAsAbsent) {
  const ChatRequest request = Parsed(
      R"("max_tokens":null,"temperature":null,"seed":null,"logit_bias":null,"stream":null,"n":null,)"
      R"("tools":null,"response_format":null,"custom_id":null,"deadline_ms":null)");
  EXPECT_EQ(SamplerOptions(), request.sampler);
  EXPECT_FALSE(request.has_seed || request.deadline_ms);
}

TEST(ChatRequest, WhatIsNotSaidIsTheDefault) {
  ChatDefaults defaults;
  defaults.sampler.temperature = 0.25f;
  defaults.sampler.seed = 9;
  defaults.tokens_max = 12;
  const ChatRequest request = Parsed(R"("top_k":3,"seed":-1)", defaults);
  EXPECT_EQ(0.25f, request.sampler.temperature);
  EXPECT_EQ(3, request.sampler.top_k);
  EXPECT_EQ(9u, request.sampler.seed);
  EXPECT_FALSE(request.has_seed);
  EXPECT_EQ(12, request.tokens_max);
}

TEST(ChatRequest, TheNewerNameOfTheLimitCounts) {
  EXPECT_EQ(5, Parsed(R"("max_completion_tokens":5,"max_tokens":9)").tokens_max);
  EXPECT_EQ(5, Parsed(R"("max_tokens":9,"max_completion_tokens":5)").tokens_max);
  EXPECT_EQ(0, Parsed(R"("max_tokens":0)").tokens_max);
}

TEST(ChatRequest, OtherFieldsAreIgnoredAndListed) {
  EXPECT_THAT(Parsed(R"("user":"u","store":true,"metadata":{})").ignored,
              ElementsAre("metadata", "store", "user"));
}

TEST(ChatRequest, StopIsAStringOrAnArray) {
  EXPECT_THAT(Parsed(R"("stop":"END")").stop, ElementsAre("END"));
  EXPECT_THAT(Parsed(R"("stop":["a","\n\n","\u00e9"])").stop, ElementsAre("a", "\n\n", "\u00e9"));
  EXPECT_TRUE(Parsed(R"("stop":null)").stop.empty());
  EXPECT_TRUE(Parsed(R"("stop":[])").stop.empty());
  EXPECT_TRUE(Parsed(R"("stop":"x")").ignored.empty());
}

TEST(ChatRequest, TheLeftmostStopCounts) {
  const auto find = [](std::string_view text, std::vector<std::string> stop) {
    return FindStop(text, stop);
  };
  EXPECT_EQ(std::nullopt, find("nothing of it", {"x"}));
  EXPECT_EQ(std::nullopt, find("none", {}));
  EXPECT_EQ(0u, find("END", {"END"}));
  EXPECT_EQ(2u, find("a b c", {"c", "b"}));
  EXPECT_EQ(1u, find("abcde", {"cd", "bcde"}));  // the longer one begins earlier
  EXPECT_EQ(3u, find("abc\n\nd", {"\n\n"}));
  EXPECT_EQ(2u, find("\u00e9\u00e8", {"\u00e8"}));
}

TEST(ChatRequest, TemplateVariablesAreAnObject) {
  EXPECT_EQ(
      R"({"enable_thinking":false,"n":[1]})",
      Parsed(R"("chat_template_kwargs":{"enable_thinking":false,"n":[1]})").template_variables);
  EXPECT_EQ("", Parsed(R"("chat_template_kwargs":{})").template_variables);
  EXPECT_EQ("", Parsed(R"("chat_template_kwargs":null)").template_variables);
}

// Whatever asks for nothing that a plain reply does not have is as good as absent.
TEST(ChatRequest, WhatAsksForNothingIsNotRefused) {
  for (const char* field :
       {R"("tools":[])", R"("functions":[])", R"("tool_choice":"none")", R"("tool_choice":"auto")",
        R"("function_call":"none")", R"("function_call":null)", R"("modalities":["text"])",
        R"("audio":null)", R"("logprobs":false)", R"("top_logprobs":0)", R"("logprobs":null)",
        R"("grammar":"")", R"("json_schema":null)", R"("web_search_options":null)", R"("n":1.0)"}) {
    EXPECT_TRUE(Parsed(field).ignored.empty()) << field;
  }
}

TEST(ChatRequest, AnIntegerMayBeWrittenAsAFloat) {
  EXPECT_EQ(5, Parsed(R"("max_tokens":5.0)").tokens_max);
  EXPECT_EQ(5, Parsed(R"("max_completion_tokens":0.5e1)").tokens_max);
  EXPECT_EQ(-1, Parsed(R"("max_tokens":-1.0)").tokens_max);
  EXPECT_EQ(3, Parsed(R"("top_k":3.0)").sampler.top_k);
  EXPECT_EQ(9007199254740992u, Parsed(R"("seed":9007199254740992.0)").sampler.seed);
  EXPECT_EQ(7, Parsed(R"("logit_bias":[[7.0,-1]])").sampler.logit_bias[0].first);
  EXPECT_EQ(20, *Parsed(R"("deadline_ms":2e1)").deadline_ms);
}

struct Broken {
  std::string json;
  std::string message;  // of the error, whole
  Code code = Code::kInvalidArgument;
};

std::vector<Broken> BrokenBodies() {
  const Code refused = Code::kUnsupported;
  return {
      {"null", "body: an object expected, found null"},
      {"7", "body: an object expected, found 7"},
      {"[]", "body: an object expected, found array"},
      {R"("messages")", "body: an object expected, found 'messages'"},
      {"{}", "messages: an array expected, found nothing"},
      {R"({"messages":null})", "messages: an array expected, found null"},
      {R"({"messages":[]})", "messages: at least one expected, found none"},
      {R"({"messages":[{"role":"robot","content":"x"}]})",
       "messages[0].role: system, developer, user, assistant or tool expected, found 'robot'"},
      {R"({"messages":[{"role":"tool","content":"x"}]})",
       "messages[0].tool_call_id: a string that is not empty expected, found nothing"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       "messages[0].content[0]: type 'image_url': text only", refused},
      {Body(R"("max_tokens":-2)"),
       "max_tokens: an integer from -1 to 1073741824 expected, found -2"},
      {Body(R"("max_tokens":1.5)"),
       "max_tokens: an integer from -1 to 1073741824 expected, found 1.5"},
      {Body(R"("max_completion_tokens":"9")"),
       "max_completion_tokens: an integer from -1 to 1073741824 expected, found '9'"},
      {Body(R"("temperature":"hot")"), "temperature: a number expected, found 'hot'"},
      {Body(R"("temperature":-1)"), "temperature: a number from 0 to 1e+06 expected, found -1"},
      {Body(R"("temperature":1e300)"),
       "temperature: a number from 0 to 1e+06 expected, found 3.4028235e+38"},
      {Body(R"("top_p":2)"), "top-p: a number from 0 to 1 expected, found 2"},
      {Body(R"("min_p":true)"), "min_p: a number expected, found true"},
      {Body(R"("top_k":-1)"), "top_k: an integer from 0 to 2147483647 expected, found -1"},
      {Body(R"("seed":18446744073709551615)"),
       "seed: an integer from -1 to 9223372036854775807 expected, found 18446744073709551615"},
      {Body(R"("repeat_penalty":0)"),
       "repeat-penalty: a number from 1e-06 to 1e+06 expected, found 0"},
      {Body(R"("logit_bias":7)"), "logit_bias: an object or an array of pairs expected, found 7"},
      {Body(R"("logit_bias":{"x":1})"), "logit_bias: token ids expected, found 'x'"},
      {Body(R"("logit_bias":{"-1":1})"), "logit_bias: token ids expected, found '-1'"},
      {Body(R"("logit_bias":{"5":"1"})"), "logit_bias: a number, or false, expected, found '1'"},
      {Body(R"("logit_bias":{"5":true})"), "logit_bias: a number, or false, expected, found true"},
      {Body(R"("logit_bias":[5])"),
       "logit_bias: pairs of a token id and a number expected, found 5"},
      {Body(R"("logit_bias":[[99999999999,1]])"),
       "logit_bias: token ids expected, found '99999999999'"},
      {Body(R"("ignore_eos":1)"), "ignore_eos: true or false expected, found 1"},
      {Body(R"("priority":1000001)"),
       "priority: an integer from -1000000 to 1000000 expected, found 1000001"},
      {Body(R"("cancel_after_ms":-1)"),
       "cancel_after_ms: an integer from 0 to 1099511627776 expected, found -1"},
      {Body(R"("deadline_ms":"soon")"),
       "deadline_ms: an integer from 0 to 1099511627776 expected, found 'soon'"},
      {Body(R"("cache_namespace":5)"), "cache_namespace: a string expected, found 5"},
      {Body(R"("custom_id":5)"), "custom_id: a string expected, found 5"},
  };
}

// Fields whose refusal a reply without them would hide.
std::vector<Broken> RefusedBodies() {
  const Code refused = Code::kUnsupported;
  return {
      {Body(R"("n":0)"), "n: an integer from 1 to 1073741824 expected, found 0"},
      {Body(R"("n":2)"), "n: one choice a request", refused},
      {Body(R"("stream":true)"), "stream: a reply comes whole", refused},
      {Body(R"("stream":"yes")"), "stream: true or false expected, found 'yes'"},
      {Body(R"("tools":[{}])"), "tools: not supported", refused},
      {Body(R"("tools":{})"), "tools: an array expected, found object"},
      {Body(R"("functions":[{"name":"f"}])"), "functions: not supported", refused},
      {Body(R"("functions":"f")"), "functions: an array expected, found 'f'"},
      {Body(R"("tool_choice":"required")"),
       "tool_choice: 'none' and 'auto' only: no tool is called", refused},
      {Body(R"("tool_choice":{"type":"function","function":{"name":"f"}})"),
       "tool_choice: 'none' and 'auto' only: no tool is called", refused},
      {Body(R"("tool_choice":7)"), "tool_choice: a string or an object expected, found 7"},
      {Body(R"("function_call":{"name":"f"})"),
       "function_call: 'none' and 'auto' only: no tool is called", refused},
      {Body(R"("modalities":["text","audio"])"), "modalities: text only", refused},
      {Body(R"("modalities":"text")"), "modalities: an array expected, found 'text'"},
      {Body(R"("audio":{"voice":"alloy"})"), "audio: not supported", refused},
      {Body(R"("logprobs":true)"), "logprobs: not supported", refused},
      {Body(R"("logprobs":5)"), "logprobs: true or false expected, found 5"},
      {Body(R"("top_logprobs":5)"), "top_logprobs: not supported", refused},
      {Body(R"("grammar":"root ::= x")"), "grammar: not supported", refused},
      {Body(R"("json_schema":{})"), "json_schema: not supported", refused},
      {Body(R"("web_search_options":{})"), "web_search_options: not supported", refused},
      {Body(R"("stop":7)"), "stop: a string or an array of strings expected, found 7"},
      {Body(R"("stop":"")"), "stop: strings that are not empty expected, found ''"},
      {Body(R"("stop":["a",""])"), "stop: strings that are not empty expected, found ''"},
      {Body(R"("stop":["a",null])"), "stop: strings that are not empty expected, found null"},
      {Body(R"("chat_template_kwargs":"x")"),
       "chat_template_kwargs: an object expected, found 'x'"},
      {Body(R"("max_tokens":5.5)"),
       "max_tokens: an integer from -1 to 1073741824 expected, found 5.5"},
      {Body(R"("max_tokens":1e300)"),
       "max_tokens: an integer from -1 to 1073741824 expected, found 1e+300"},
      {Body(R"("logit_bias":[[5.5,1]])"),
       "logit_bias: pairs of a token id and a number expected, found array"},
      {Body(R"("response_format":{"type":"json_object"})"), "response_format: text only", refused},
      {Body(R"("response_format":{})"), "response_format.type: a string expected, found nothing"},
      {Body(R"("response_format":"text")"), "response_format: an object expected, found 'text'"},
  };
}

TEST(ChatRequest, BrokenBodiesAreToldByName) {
  std::vector<Broken> bodies = BrokenBodies();
  const std::vector<Broken> more = RefusedBodies();
  bodies.insert(bodies.end(), more.begin(), more.end());
  for (const Broken& broken : bodies) {
    const Status status = ParseChatRequest(broken.json, {}).status();
    EXPECT_EQ(broken.code, status.code()) << broken.json;
    EXPECT_EQ(broken.message, status.message()) << broken.json;
  }
  EXPECT_EQ("unsupported_field", ParseChatRequest(Body(R"("stream":true)"), {}).status().name());
}

TEST(ChatRequest, WhatIsNoJsonIsInvalid) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("{} {}"), std::string("{\"messages\":}"),
        std::string("{\"a\":\"\xff\"}"), Body(R"("temperature":1e999)"),
        Body(R"("temperature":NaN)"), std::string(1000, '[')}) {
    const Status status = ParseChatRequest(text, {}).status();
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << text;
    EXPECT_THAT(status.message(), testing::StartsWith("body: a JSON object expected: json: "))
        << text;
    EXPECT_THAT(status.message(), testing::Not(HasSubstr("exception"))) << text;
  }
}

TEST(BatchLine, ABodyOrOpenAisForm) {
  EXPECT_EQ("a", ParseBatchLine(Body(R"("custom_id":"a")"), {}).request.custom_id);
  const BatchLine line =
      ParseBatchLine(R"({"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":)" +
                         Body(R"("top_k":3,"custom_id":"inner","user":"u")") + R"(,"more":1})",
                     {});
  ASSERT_TRUE(line.status.ok()) << line.status.ToString();
  EXPECT_EQ("b", line.request.custom_id);
  EXPECT_EQ(3, line.request.sampler.top_k);
  EXPECT_THAT(line.request.ignored, ElementsAre("more", "user"));
}

TEST(BatchLine, ABadOneKeepsItsName) {
  const Broken lines[] = {
      {R"({"custom_id":"b","body":7})", "body: an object expected, found 7"},
      {R"({"custom_id":"b","body":{}})", "messages: an array expected, found nothing"},
      {R"({"custom_id":"b","url":"/v1/embeddings","body":{}})", "url: /v1/chat/completions only",
       Code::kUnsupported},
      {R"({"custom_id":"b","method":"GET","body":{}})", "method: POST only", Code::kUnsupported},
      {R"({"custom_id":"b","method":7,"body":{}})", "method: a string expected, found 7"},
      {Body(R"("custom_id":"b","top_k":"x")"),
       "top_k: an integer from 0 to 2147483647 expected, found 'x'"},
  };
  for (const Broken& broken : lines) {
    const BatchLine line = ParseBatchLine(broken.json, {});
    EXPECT_EQ(broken.code, line.status.code()) << broken.json;
    EXPECT_EQ(broken.message, line.status.message()) << broken.json;
    EXPECT_EQ("b", line.request.custom_id) << broken.json;
  }
  EXPECT_THAT(ParseBatchLine("nonsense", {}).status.message(), HasSubstr("json"));
}

}  // namespace
}  // namespace gyrator

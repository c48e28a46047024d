// The text of session.txt and chat.json: what is written reads back, what is damaged is named.
#include "engine/session_snapshot.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

SamplerOptions Unusual() {
  SamplerOptions options;
  options.temperature = 0.1f + 0.2f;  // no short decimal
  options.top_k = 7;
  options.top_p = 0.9000001f;
  options.min_p = 1e-7f;
  options.typical_p = 0.5f;
  options.repeat_penalty = 1.1f;
  options.frequency_penalty = -0.25f;
  options.presence_penalty = 0.125f;
  options.penalty_last_n = -1;
  options.seed = UINT64_MAX;
  options.logit_bias = {{3, -1e30f}, {0, 0.1f}};
  return options;
}

TEST(SessionText, SamplerReadsBackToTheBit) {
  for (const SamplerOptions& options : {Unusual(), SamplerOptions()}) {
    KeyValues keys;
    WriteSampler(options, 12345678901234u, &keys);
    const auto parsed = ReadSampler(keys);
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    EXPECT_EQ(options, parsed->options);
    EXPECT_EQ(12345678901234u, parsed->draws);
  }
}

TEST(SessionText, AbsentKeysKeepTheirDefaults) {
  const auto parsed = ReadSampler(KeyValues());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(SamplerOptions(), parsed->options);
  EXPECT_EQ(0u, parsed->draws);
}

TEST(SessionText, ADamagedSamplerIsNamed) {
  const struct {
    const char* key;
    const char* value;
    Code code;
  } kList[] = {
      {"sampler.temperature", "warm", Code::kCorruption},
      {"sampler.temperature", "-1", Code::kCorruption},
      {"sampler.temperature", "nan", Code::kCorruption},
      {"sampler.top_k", "4.5", Code::kCorruption},
      {"sampler.top_p", "2", Code::kCorruption},
      {"sampler.penalty_last_n", "-2", Code::kCorruption},
      {"sampler.logit_bias", "3:1", Code::kCorruption},
      {"sampler.logit_bias", "[3]", Code::kCorruption},
      {"sampler.logit_bias", "[x:1]", Code::kCorruption},
      {"sampler.logit_bias", "[-3:1]", Code::kCorruption},
      {"rng.seed", "-1", Code::kCorruption},
      {"rng.draws", "", Code::kCorruption},
      {"rng.algo", "mt19937", Code::kUnsupported},
  };
  for (const auto& broken : kList) {
    KeyValues keys;
    WriteSampler(Unusual(), 1, &keys);
    keys.Set(broken.key, broken.value);
    const Status status = ReadSampler(keys).status();
    EXPECT_EQ(broken.code, status.code()) << broken.key << " = " << broken.value;
    EXPECT_NE(std::string::npos, status.message().find("session.txt")) << status.ToString();
  }
}

TEST(SessionText, ChatReadsBackWithItsSpans) {
  const std::vector<Message> messages = {{.role = "user", .content = "Hi \"there\"", .extras = {}},
                                         {.role = "assistant", .content = "Hello.", .extras = {}}};
  const std::vector<TokenRange> ranges = {{0, 5}, {}};
  const auto text = ChatText(messages, ranges);
  ASSERT_TRUE(text.ok()) << text.status().ToString();
  const auto parsed = ParseChat(*text);
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  ASSERT_EQ(2u, parsed->messages.size());
  EXPECT_EQ("Hi \"there\"", parsed->messages[0].content);
  EXPECT_EQ("assistant", parsed->messages[1].role);
  EXPECT_EQ(0, parsed->ranges[0].begin);
  EXPECT_EQ(5, parsed->ranges[0].end);
  EXPECT_EQ(-1, parsed->ranges[1].begin);
}

TEST(SessionText, AWindowReadsBackWithThePoliciesOfItsLog) {
  for (const Overflow overflow :
       {Overflow::kMessage, Overflow::kFifo, Overflow::kSink, Overflow::kScore}) {
    const std::vector<Eviction> log = {
        {.cp = 10, .policy = PolicyOf(overflow), .spans = {{2, 4}, {6, 7}}},
        {.cp = 5, .policy = {}, .spans = {}},
        {.cp = 9, .policy = EvictionPolicy::kFifo, .spans = {{2, 3}}}};
    const WindowOptions options = {
        .overflow = overflow, .mode = EvictMode::kRecompute, .sinks = 3, .headroom = 7};
    const std::string text = TextOfWindow(Window({{2, {5, 6, 7}}, {4, {9}}}, log), options);
    const auto parsed = ParseWindow(text, 20, 100);
    ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
    const Window window = WindowFromText(*parsed);
    ASSERT_EQ(3u, window.log().size());
    EXPECT_EQ(log[0], window.log()[0]);
    EXPECT_TRUE(window.log()[1].is_rewind());
    EXPECT_EQ(5, window.log()[1].cp);
    EXPECT_EQ(log[2], window.log()[2]);
    ASSERT_EQ(2u, window.gone().size());
    EXPECT_EQ((Window::Gone{2, {5, 6, 7}}), window.gone()[0]);
    EXPECT_EQ((Window::Gone{4, {9}}), window.gone()[1]);
    EXPECT_EQ(options, WindowOptionsFromText(*parsed));
  }
}

TEST(SessionText, ADamagedChatIsRefused) {
  for (const char* text : {"", "{", "{}", "7", R"([{"role":"user","content":"a","span":[1]}])",
                           R"([{"role":"user","content":"a","span":[1,"2"]}])",
                           R"([{"role":"user","content":"a","span":3}])", R"([{"content":"a"}])",
                           R"([{"role":"bot","content":"a"}])",
                           R"([{"role":"user","content":[{"type":"image_url"}]}])"}) {
    EXPECT_EQ(Code::kCorruption, ParseChat(text).status().code()) << text;
  }
}

}  // namespace
}  // namespace gyrator

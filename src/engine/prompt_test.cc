// Tokens of transcripts under real tokenizers and real templates.
#include "engine/prompt.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/source_path_testing.h"
#include "engine/prompt_calls.h"

namespace gyrator {
namespace {

std::string FileText(const std::string& path) {
  std::ifstream file(SourcePath("tests/golden/") + path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Case {
  const char* tokenizer;
  const char* chat;
};

std::unique_ptr<TextModelImpl> Text(const Case& which) {
  auto tokenizer =
      Tokenizer::FromHuggingFace(SourcePath("tests/golden/tokenizer/") + which.tokenizer);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  auto chat = ChatTemplate::Parse(FileText("templates/" + std::string(which.chat) + ".jinja"));
  EXPECT_TRUE(chat.ok()) << chat.status().ToString();
  return std::make_unique<TextModelImpl>(*std::move(tokenizer), *std::move(chat));
}

Message Of(const char* role, std::string content) {
  return {.role = role, .content = std::move(content), .extras = {}};
}

std::vector<Message> ThreeTurns() {
  return {Of("user", "Hello there."),   Of("assistant", "Hi."),
          Of("user", "  How are you?"), Of("assistant", "Well, thanks."),
          Of("user", "Hello there."),   Of("assistant", "You said that."),
          Of("user", "Good bye.")};
}

class Prompts : public testing::TestWithParam<Case> {};

TEST_P(Prompts, WhatIsLeftWithoutSomeTurnsIsAConversationOfTheSameForm) {
  const auto text = Text(GetParam());
  const auto messages = ThreeTurns();
  const auto rendered = text->Render(messages, {});
  ASSERT_TRUE(rendered.ok()) << rendered.status().ToString();
  const auto tokens = text->Encode(*rendered, false);
  const auto layout = FindTurns(*text, {messages, {}, *rendered}, tokens);
  ASSERT_TRUE(layout.ok()) << layout.status().ToString();
  ASSERT_EQ(4u, layout->turns.size());
  EXPECT_EQ(layout->turns[0], layout->pinned);
  for (size_t first = 1; first < 4; ++first) {
    for (size_t last = first + 1; last < 4; ++last) {
      std::vector<Message> fewer = messages;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(2 * first),
                  fewer.begin() + static_cast<std::ptrdiff_t>(2 * last));
      std::vector<TokenId> left = tokens;
      left.erase(left.begin() + layout->turns[first], left.begin() + layout->turns[last]);
      EXPECT_EQ(text->Decode(text->Encode(*text->Render(fewer, {}), false), false),
                text->Decode(left, false));
    }
  }
}

TEST_P(Prompts, IdsThatWereSaidStayWhereTheTextIsTheSame) {
  const auto text = Text(GetParam());
  auto messages = ThreeTurns();
  messages.resize(3);
  const auto before = text->Encode(*text->Render({messages.data(), 1}, {}), false);
  // The reply as a model may say it: letter by letter.
  std::vector<TokenId> said = before;
  for (const char letter : messages[1].content) {
    const auto ids = text->Encode(std::string_view(&letter, 1), false);
    said.push_back(ids.back());
  }
  const TokenRange reply = {static_cast<int32_t>(before.size()), static_cast<int32_t>(said.size())};
  const auto rendered = text->Render(messages, {});
  ASSERT_TRUE(rendered.ok());
  const auto kept = EncodeAs(*text, *rendered, {.tokens = said, .ranges = {&reply, 1}});
  const auto canonical = text->Encode(*rendered, false);
  ASSERT_GE(kept.size(), said.size());
  if (std::equal(said.begin(), said.end(), kept.begin())) {
    EXPECT_EQ(text->Decode(canonical, false), text->Decode(kept, false));
  } else {  // letters alone begin with a space there: the text is another one
    EXPECT_EQ(canonical, kept);
    EXPECT_NE(std::string::npos, std::string("llama2 mistral").find(GetParam().tokenizer));
  }
  // Another text: the render wins.
  messages[1].content = "Hey.";
  const auto other = text->Render(messages, {});
  EXPECT_EQ(text->Encode(*other, false),
            EncodeAs(*text, *other, {.tokens = said, .ranges = {&reply, 1}}));
}

INSTANTIATE_TEST_SUITE_P(Families, Prompts,
                         testing::Values(Case{"qwen2", "qwen25"}, Case{"qwen2", "qwen3"},
                                         Case{"qwen2", "chatml"}, Case{"llama3", "llama3"},
                                         Case{"gpt2", "smollm2"}, Case{"gpt2", "zephyr"},
                                         Case{"llama2", "llama2"}, Case{"mistral", "mistral_v01"},
                                         Case{"llama2", "gemma2"}),
                         [](const auto& test) {
                           return std::string(test.param.tokenizer) + "_" + test.param.chat;
                         });

// Where the turns are does not depend on what a message says, marks that the search itself has used
// included.
TEST(Prompt, ControlCharactersInAMessageHideNoTurn) {
  const std::vector<std::string> strange = {"\x02",
                                            "strange \x02 words",
                                            "\x02"
                                            "0\x03",
                                            "\x02"
                                            "0\x02"
                                            "1\x03 \x02"
                                            "0",
                                            "0\x03",
                                            std::string("a\0b", 3),
                                            "\x1b[31m",
                                            "\x02"
                                            "0\x03\x02"
                                            "1\x03\x02"
                                            "2\x03"};
  for (const Case& which : {Case{"qwen2", "chatml"}, Case{"llama3", "llama3"},
                            Case{"gpt2", "zephyr"}, Case{"llama2", "gemma2"}}) {
    const auto text = Text(which);
    for (const std::string& words : strange) {
      for (size_t at = 0; at < 7; ++at) {  // of the user, and of the model
        auto messages = ThreeTurns();
        messages[at].content = words;
        const std::string rendered = *text->Render(messages, {});
        const auto layout =
            FindTurns(*text, {messages, {}, rendered}, text->Encode(rendered, false));
        ASSERT_TRUE(layout.ok()) << layout.status().ToString();
        EXPECT_EQ(4u, layout->turns.size()) << which.chat << " " << at;
        EXPECT_GT(layout->pinned, 0);
        const auto content = FindContent(*text, {messages, {}, rendered}, at);
        ASSERT_TRUE(content.ok());
        EXPECT_EQ(words, rendered.substr(*content, words.size())) << which.chat << " " << at;
      }
    }
  }
}

// An agent under a template that renders calls and results.
std::vector<Message> Agent(int calls) {
  std::vector<Message> messages = {Of("user", "What is the sum?")};
  for (int i = 0; i < calls; ++i) {
    messages.push_back(Of("assistant", ""));
    messages.back().extras = R"({"tool_calls":[{"id":"call0000)" + std::to_string(i) +
                             R"(","type":"function","function":{"name":"add","arguments":{"n":)" +
                             std::to_string(i) + "}}}]}";
    messages.push_back(Of("tool", "the result is " + std::to_string(40 + i)));
    messages.back().extras = R"({"tool_call_id":"call0000)" + std::to_string(i) + "\"}";
  }
  return messages;
}

class Agents : public testing::TestWithParam<Case> {};

TEST_P(Agents, WhatIsLeftWithoutSomeCallsIsAConversationOfTheSameForm) {
  const auto text = Text(GetParam());
  const auto messages = Agent(6);
  const auto rendered = text->Render(messages, {});
  ASSERT_TRUE(rendered.ok()) << rendered.status().ToString();
  const auto tokens = text->Encode(*rendered, false);
  const auto layout = FindTurns(*text, {messages, {}, *rendered}, tokens);
  ASSERT_TRUE(layout.ok()) << layout.status().ToString();
  ASSERT_EQ(6u, layout->calls.size());
  // Without its first or its last call Mistral's conversation is tokenized otherwise, so that these
  // go with their whole turn only.
  const bool mistral = std::string_view(GetParam().tokenizer) == "mistral";
  for (size_t call = 0; call < 6; ++call) {
    EXPECT_EQ(!mistral || (call > 0 && call < 5), layout->calls[call].may_go) << call;
  }
  for (size_t first = 0; first < 6; ++first) {
    for (size_t last = first; last < 6 && layout->calls[last].may_go; ++last) {
      std::vector<Message> fewer = messages;
      const auto at = [](auto& list, size_t index) {
        return list.begin() + static_cast<std::ptrdiff_t>(index);
      };
      fewer.erase(at(fewer, layout->calls[first].first_message),
                  at(fewer, layout->calls[last].first_message + 2));
      std::vector<TokenId> left = tokens;
      left.erase(at(left, static_cast<size_t>(layout->calls[first].span.begin)),
                 at(left, static_cast<size_t>(layout->calls[last].span.end)));
      if (!layout->calls[first].may_go) break;
      EXPECT_EQ(text->Encode(*text->Render(fewer, {}), false), left) << first << " to " << last;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Agents,
                         testing::Values(Case{"qwen2", "qwen25"}, Case{"qwen2", "qwen3"},
                                         Case{"qwen2", "chatml"}, Case{"llama3", "llama31"},
                                         Case{"llama3", "llama32"}, Case{"mistral", "mistral_v03"}),
                         [](const auto& test) {
                           return std::string(test.param.tokenizer) + "_" + test.param.chat;
                         });

TEST(Prompt, ACallInATurnGoesWithItsResult) {
  const auto text = Text({"qwen2", "qwen25"});
  std::vector<Message> messages = {
      Of("user", "One."), Of("assistant", "Yes."), Of("user", "Ask."), Of("assistant", ""),
      Of("tool", "42"),   Of("assistant", "42."),  Of("user", "Last.")};
  messages[3].extras =
      R"({"tool_calls":[{"type":"function","function":{"name":"f","arguments":{}}}]})";
  const auto rendered = text->Render(messages, {});
  ASSERT_TRUE(rendered.ok()) << rendered.status().ToString();
  const auto tokens = text->Encode(*rendered, false);
  const auto layout = FindTurns(*text, {messages, {}, *rendered}, tokens);
  ASSERT_TRUE(layout.ok());
  ASSERT_EQ(3u, layout->turns.size());
  ASSERT_EQ(1u, layout->calls.size());
  ASSERT_EQ(1u, layout->atomic.size());
  EXPECT_EQ(layout->calls[0].span, layout->atomic[0]);
  EXPECT_EQ(3u, layout->calls[0].first_message);
  EXPECT_EQ(2u, layout->calls[0].num_messages);
  const auto part = std::span(tokens).subspan(
      static_cast<size_t>(layout->atomic[0].begin),
      static_cast<size_t>(layout->atomic[0].end - layout->atomic[0].begin));
  const std::string words = text->Decode(part, false);
  EXPECT_NE(std::string::npos, words.find("42")) << words;
  EXPECT_EQ(std::string::npos, words.find("Ask.")) << words;
  EXPECT_EQ(std::string::npos, words.find("42.")) << words;
}

TEST(Prompt, ATurnWithACallThatIsNotFoundGoesAsAWhole) {
  auto tokenizer = Tokenizer::FromHuggingFace(SourcePath("tests/golden/tokenizer/qwen2"));
  auto chat = ChatTemplate::Parse(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content[:9] if m.role == 'tool' else "
      "m.content }}<|im_end|>\n{% endfor %}");
  ASSERT_TRUE(tokenizer.ok() && chat.ok());
  const TextModelImpl text(*std::move(tokenizer), *std::move(chat));
  const std::vector<Message> messages = {Of("user", "One."),
                                         Of("assistant", "Yes."),
                                         Of("user", "Ask."),
                                         Of("assistant", "Let me see."),
                                         Of("tool", "the end of this is not rendered"),
                                         Of("user", "Last.")};
  const auto rendered = text.Render(messages, {});
  ASSERT_TRUE(rendered.ok()) << rendered.status().ToString();
  const auto layout = FindTurns(text, {messages, {}, *rendered}, text.Encode(*rendered, false));
  ASSERT_TRUE(layout.ok());
  ASSERT_EQ(3u, layout->turns.size());
  EXPECT_TRUE(layout->calls.empty());
  ASSERT_EQ(1u, layout->atomic.size());
  EXPECT_EQ((TokenSpan{layout->turns[1], layout->turns[2]}), layout->atomic[0]);
}

// Of the turn that is answered the question stays, and of its calls the last; a reply that is being
// written keeps what its policy says.
TEST(Prompt, TheNewestCallAloneBelongsToWhatIsNewest) {
  PromptLayout layout;
  layout.calls = {{.span = {110, 130}, .may_go = true}, {.span = {130, 150}, .may_go = true}};
  WindowView view = {.length = 160, .newest = 60, .turns = {10, 100}};
  ShowCalls(layout, Window(), &view);
  EXPECT_EQ(30, view.newest);
  EXPECT_EQ((std::vector<TokenSpan>{{110, 130}}), view.calls);
  EXPECT_EQ((std::vector<TokenSpan>{{100, 110}, {130, 150}}), view.kept);
  view = {.length = 160, .newest = 8, .turns = {10, 100}};
  ShowCalls(layout, Window(), &view);
  EXPECT_EQ(8, view.newest);
  layout.calls.resize(1);
  view = {.length = 160, .newest = 60, .turns = {10, 100}};
  ShowCalls(layout, Window(), &view);
  EXPECT_EQ(60, view.newest);
  EXPECT_TRUE(view.calls.empty());
}

// Words of the assistant between two calls are of neither.
TEST(Prompt, CallsWithWordsBetweenThemAreFound) {
  const auto text = Text({"qwen2", "qwen25"});
  auto messages = Agent(3);
  messages.insert(messages.begin() + 3, Of("assistant", "So far so good."));
  const auto rendered = text->Render(messages, {});
  ASSERT_TRUE(rendered.ok()) << rendered.status().ToString();
  const auto tokens = text->Encode(*rendered, false);
  const auto layout = FindTurns(*text, {messages, {}, *rendered}, tokens);
  ASSERT_TRUE(layout.ok());
  ASSERT_EQ(3u, layout->calls.size());
  EXPECT_EQ(4u, layout->calls[1].first_message);
  const TokenSpan span = layout->calls[1].span;
  const std::string words =
      text->Decode(std::span(tokens).subspan(static_cast<size_t>(span.begin),
                                             static_cast<size_t>(span.end - span.begin)),
                   false);
  EXPECT_EQ(std::string::npos, words.find("So far so good.")) << words;
}

// What stands for calls that left is an assistant's message between the question and the others.
TEST(Prompt, CallsBehindWordsOfTheAssistantAreFound) {
  const auto text = Text({"qwen2", "qwen25"});
  auto messages = Agent(3);
  messages.insert(messages.begin() + 1, Of("assistant", "I asked before.  "));
  const auto rendered = text->Render(messages, {});
  ASSERT_TRUE(rendered.ok()) << rendered.status().ToString();
  const auto layout = FindTurns(*text, {messages, {}, *rendered}, text->Encode(*rendered, false));
  ASSERT_TRUE(layout.ok());
  ASSERT_EQ(3u, layout->calls.size());
  EXPECT_EQ(2u, layout->calls[0].first_message);
}

std::unique_ptr<const TextModelImpl> WithSystemsFirst() {
  auto tokenizer = Tokenizer::FromHuggingFace(SourcePath("tests/golden/tokenizer/qwen2"));
  auto chat = ChatTemplate::Parse(
      "{% for m in messages if m.role == 'system' %}<|im_start|>system\n{{ m.content "
      "}}<|im_end|>\n{% endfor %}{% for m in messages if m.role != 'system' %}<|im_start|>{{ "
      "m.role "
      "}}\n{{ m.content }}<|im_end|>\n{% endfor %}");
  EXPECT_TRUE(tokenizer.ok() && chat.ok());
  return std::make_unique<const TextModelImpl>(*std::move(tokenizer), *std::move(chat));
}

PromptLayout LayoutOf(const TextModelImpl& text, const std::vector<Message>& messages) {
  const auto rendered = text.Render(messages, {});
  EXPECT_TRUE(rendered.ok()) << rendered.status().ToString();
  const auto layout = FindTurns(text, {messages, {}, *rendered}, text.Encode(*rendered, false));
  EXPECT_TRUE(layout.ok());
  return layout.ok() ? *layout : PromptLayout();
}

// Instructions that a template writes elsewhere cost the turn that they are in, and no other one.
TEST(Prompt, WhereATemplateWritesInstructionsElsewhereOtherTurnsKeepTheirCalls) {
  const auto text = WithSystemsFirst();
  const std::vector<Message> first = {Of("user", "Ask."),  Of("assistant", ""),
                                      Of("tool", "1"),     Of("system", "Be brief."),
                                      Of("assistant", ""), Of("tool", "2")};
  EXPECT_TRUE(LayoutOf(*text, first).calls.empty());
  std::vector<Message> second = first;
  for (const Message& message : {Of("assistant", "3."), Of("user", "Again."), Of("assistant", ""),
                                 Of("tool", "4"), Of("assistant", ""), Of("tool", "5")}) {
    second.push_back(message);
  }
  const PromptLayout layout = LayoutOf(*text, second);
  ASSERT_EQ(2u, layout.calls.size());
  EXPECT_EQ(8u, layout.calls[0].first_message);
  ASSERT_EQ(2u, layout.turns.size());
  for (const ToolCall& call : layout.calls) EXPECT_GE(call.span.begin, layout.turns[1]);
  // In order, but before the words of the user.
  const std::vector<Message> leading = {Of("user", "Ask."), Of("system", "Be brief."),
                                        Of("assistant", ""), Of("tool", "1")};
  EXPECT_TRUE(LayoutOf(*text, leading).calls.empty());
}

// The results of one call stay together also where instructions stand between them.
TEST(Prompt, InstructionsWithinACallPartItFromNoResult) {
  const auto text = Text({"qwen2", "chatml"});
  for (const std::vector<Message>& messages :
       {std::vector<Message>{Of("user", "Ask."), Of("assistant", ""), Of("tool", "1"),
                             Of("system", "Be brief."), Of("tool", "2"), Of("assistant", "3.")},
        {Of("user", "Ask."), Of("assistant", ""), Of("system", "Be brief."), Of("tool", "1"),
         Of("assistant", "2.")}}) {
    const PromptLayout layout = LayoutOf(*text, messages);
    EXPECT_TRUE(layout.calls.empty());
    EXPECT_EQ(1u, layout.atomic.size());
  }
}

}  // namespace
}  // namespace gyrator

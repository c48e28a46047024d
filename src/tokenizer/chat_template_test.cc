#include "tokenizer/chat_template.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/source_path_testing.h"

namespace gyrator {
namespace {

using testing::HasSubstr;

const std::string kFolder = SourcePath("tests/golden/templates/");

// The clock of tools/golden/templates.py: 2026-11-03T14:05:09, a Tuesday.
std::tm GoldenClock() {
  std::tm now{};
  now.tm_year = 126;
  now.tm_mon = 10;
  now.tm_mday = 3;
  now.tm_hour = 14;
  now.tm_min = 5;
  now.tm_sec = 9;
  now.tm_wday = 2;
  now.tm_yday = 306;
  return now;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Json> ReadLines(const std::string& name) {
  std::ifstream file(kFolder + name, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << name;
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) {
    Result<Json> json = ParseJson(line);
    EXPECT_TRUE(json.ok()) << name << ": " << line;
    if (json.ok()) lines.push_back(*std::move(json));
  }
  return lines;
}

Result<std::string> RenderCase(const std::string& source, const Json& test) {
  GYRATOR_ASSIGN_OR_RETURN(const auto chat_template, ChatTemplate::Parse(source));
  const std::tm now = GoldenClock();
  return chat_template->Render({.messages = &test["messages"],
                                .tools = &test["tools"],
                                .variables = &test["variables"],
                                .add_generation_prompt = test["add_generation_prompt"].get<bool>(),
                                .now = &now});
}

// Compares one line of a golden file; names the case where they differ.
void Check(const std::string& source, const Json& test) {
  SCOPED_TRACE(test["name"].get<std::string>());
  const Result<std::string> rendered = RenderCase(source, test);
  if (test.contains("expected")) {
    ASSERT_TRUE(rendered.ok()) << rendered.status().ToString();
    EXPECT_EQ(*rendered, test["expected"].get<std::string>());
    return;
  }
  ASSERT_FALSE(rendered.ok()) << "rendered: " << *rendered;
  if (test.contains("raises")) {
    EXPECT_EQ(rendered.status().code(), Code::kInvalidArgument);
    EXPECT_EQ(rendered.status().name(), "template_exception");
    EXPECT_EQ(rendered.status().message(), test["raises"].get<std::string>());
  } else {
    EXPECT_NE(rendered.status().name(), "template_exception") << rendered.status().ToString();
    EXPECT_THAT(rendered.status().message(), HasSubstr("line ")) << test["error"];
  }
}

TEST(ChatTemplateGolden, ChatsAreByteForByteThoseOfTransformers) {
  const std::vector<Json> lines = ReadLines("chats.jsonl");
  ASSERT_FALSE(lines.empty());
  ASSERT_EQ(lines.size(), lines[0]["cases"].get<size_t>() + 1);
  ASSERT_GE(lines.size(), 200u);
  for (size_t i = 1; i < lines.size(); ++i) {
    Check(ReadFile(kFolder + lines[i]["template"].get<std::string>()), lines[i]);
  }
}

TEST(ChatTemplateGolden, SnippetsAreByteForByteThoseOfTransformers) {
  const std::vector<Json> lines = ReadLines("snippets.jsonl");
  ASSERT_FALSE(lines.empty());
  ASSERT_EQ(lines.size(), lines[0]["cases"].get<size_t>() + 1);
  ASSERT_GE(lines.size(), 180u);
  for (size_t i = 1; i < lines.size(); ++i) Check(lines[i]["source"].get<std::string>(), lines[i]);
}

struct Broken {
  std::string source;
  Code code;
  std::string says;
};

std::string Repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(ChatTemplateBroken, ParseRefusesWithCodeAndLine) {
  const std::vector<Broken> list = {
      {"{% if x %}", Code::kCorruption, "looking for 'elif' or 'else' or 'endif'"},
      {"{% if %}a{% endif %}", Code::kCorruption, "unexpected end of a block tag"},
      {"\n\n{% for x in y %}{% endif %}", Code::kCorruption, "line 3: unexpected tag 'endif'"},
      {"{% for in y %}{% endfor %}", Code::kCorruption, "expected a name"},
      {"{% for x y %}{% endfor %}", Code::kCorruption, "unexpected 'y'"},
      {"{% for loop in y %}{% endfor %}", Code::kCorruption, "cannot assign to 'loop'"},
      {"{% for x in y %}{% set loop = 1 %}{% endfor %}", Code::kCorruption, "'loop'"},
      {"{% set %}", Code::kCorruption, "line 1"},
      {"{% set x = %}", Code::kCorruption, "expected an expression"},
      {"{% set 1 = 2 %}", Code::kCorruption, "cannot assign"},
      {"{% set a.b.c = 1 %}", Code::kCorruption, "unexpected '.'"},
      {"{% set x %}a", Code::kCorruption, "'endset'"},
      {"{% macro f(a, a) %}{% endmacro %}", Code::kCorruption, "duplicate argument 'a'"},
      {"{% macro f(a=1, b) %}{% endmacro %}", Code::kCorruption, "without default"},
      {"{% macro f( %}", Code::kCorruption, "line 1"},
      {"{% call 1 %}{% endcall %}", Code::kCorruption, "expected a call"},
      {"{% break %}", Code::kCorruption, "'break' outside a loop"},
      {"{% for x in y %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}", Code::kCorruption,
       "'continue' outside a loop"},
      {"{% else %}", Code::kCorruption, "unexpected tag 'else'"},
      {"{% 1 %}", Code::kCorruption, "expected a tag's name"},
      {"{{ }}", Code::kCorruption, "expected an expression"},
      {"{{ a", Code::kCorruption, "unexpected end of the template"},
      {"{{ a b }}", Code::kCorruption, "unexpected 'b'"},
      {"{{ (a }}", Code::kCorruption, "unexpected '}', expected ')'"},
      {"{{ a) }}", Code::kCorruption, "unexpected ')'"},
      {"{{ a. }}", Code::kCorruption, "line 1"},
      {"{{ a[1, }}", Code::kCorruption, "expected ']'"},
      {"{{ 'a }}", Code::kCorruption, "a string is not closed"},
      {"{{ '\\xZZ' }}", Code::kCorruption, "\\x escape"},
      {"{{ '\\ud800' }}", Code::kCorruption, "surrogate"},
      {"{{ f(a=1, 2) }}", Code::kCorruption, "out of order"},
      {"{{ f(a=1, a=2) }}", Code::kCorruption, "repeated: a"},
      {"{{ a ? b }}", Code::kCorruption, "unexpected character '?'"},
      {"{{ a is none is defined }}", Code::kCorruption, "tests cannot be chained"},
      {"{# comment", Code::kCorruption, "missing end of comment"},
      {"{% raw %}x", Code::kCorruption, "missing end of raw"},
      {"a\xff{{ 1 }}", Code::kCorruption, "not UTF-8"},
      {"{{ 99999999999999999999 }}", Code::kUnsupported, "does not fit in 64 bits"},
      {"{{ '\\N{BULLET}' }}", Code::kUnsupported, "\\N"},
      {"\n{{ 1 | nosuch }}", Code::kUnsupported, "line 2: no filter named 'nosuch'"},
      {"{{ 1 is nosuch }}", Code::kUnsupported, "no test named 'nosuch'"},
      {"{% nosuch %}", Code::kUnsupported, "no tag named 'nosuch'"},
      {"{% include 'a' %}", Code::kUnsupported, "tag 'include'"},
      {"{% block a %}{% endblock %}", Code::kUnsupported, "tag 'block'"},
      {"{{ " + Repeat("(", 1000) + "1" + Repeat(")", 1000) + " }}", Code::kExhausted, "nested"},
      {"{{ " + Repeat("-", 1000) + "1 }}", Code::kExhausted, "nested"},
      {"{{ 1" + Repeat(" + 1", 1000) + " }}", Code::kExhausted, "nested"},
      {"{{ a" + Repeat("|trim", 1000) + " }}", Code::kExhausted, "nested"},
      {"{{ " + Repeat("not ", 1000) + "1 }}", Code::kExhausted, "nested"},
      {Repeat("{% if 1 %}", 1000) + Repeat("{% endif %}", 1000), Code::kExhausted, "nested"},
  };
  for (const Broken& broken : list) {
    SCOPED_TRACE(broken.source.substr(0, 60));
    const auto parsed = ChatTemplate::Parse(broken.source);
    const Status status = parsed.ok() ? Status() : parsed.status();
    EXPECT_EQ(status.code(), broken.code) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(broken.says));
  }
}

Status RenderStatus(const std::string& source) {
  const auto chat_template = ChatTemplate::Parse(source);
  if (!chat_template.ok()) return chat_template.status();
  const Result<std::string> text = (*chat_template)->Render({});
  return text.ok() ? Status() : text.status();
}

TEST(ChatTemplateBounds, AHostileTemplateEnds) {
  const std::vector<Broken> list = {
      {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
       Code::kExhausted, "steps"},
      {"{% for a in range(90000) %}{{ 'x' * 90000 }}{% endfor %}", Code::kExhausted, "text"},
      {"{{ 'x' * 4611686018427387904 }}", Code::kExhausted, "text"},
      {"{{ [1] * 4611686018427387904 }}", Code::kExhausted, "steps"},
      {"{{ '%9999999d' % 1 }}", Code::kInvalidArgument, "larger than"},
      {"{{ 'a'.ljust(4611686018427387904) }}", Code::kExhausted, "text"},
      {"{{ 'a\\nb'|indent(4611686018427387904) }}", Code::kExhausted, "text"},
      {"{{ [1]|tojson(indent=4611686018427387904) }}", Code::kExhausted, "text"},
      {"{{ range(100001) }}", Code::kExhausted, "range too big"},
      {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", Code::kExhausted, "nested deeper"},
      {"{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}", Code::kExhausted,
       "nested deeper"},
      {"{% set ns = namespace(a=[]) %}{% for i in range(9999) %}{% set ns.a = [ns.a] %}{% endfor "
       "%}",
       Code::kExhausted, "values nested deeper"},
      {"{% set ns = namespace(a=1) %}{% for i in range(9999) %}{% set ns.a = {'k': ns.a} %}"
       "{% endfor %}",
       Code::kExhausted, "values nested deeper"},
      {"{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", Code::kExhausted, "holds itself"},
      {"{% set ns = namespace(a=[1]) %}{% for i in range(99) %}{% set ns.a = [ns.a, ns.a] %}"
       "{% endfor %}{{ ns.a }}",
       Code::kExhausted, "steps"},
      {"{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(99) %}{% set ns.a = [ns.a, ns.a] %}"
       "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
       Code::kExhausted, "steps"},
      {"{{ 9223372036854775807 + 1 }}", Code::kInvalidArgument, "64 bits"},
      {"{{ (-9223372036854775807 - 1) // -1 }}", Code::kInvalidArgument, "64 bits"},
      {"{{ 10 ** 19 }}", Code::kInvalidArgument, "64 bits"},
      {"{{ 1e30|int }}", Code::kInvalidArgument, "64 bits"},
      {"{{ 'a'.swapcase() }}", Code::kUnsupported, "'swapcase'"},
  };
  for (const Broken& broken : list) {
    SCOPED_TRACE(broken.source.substr(0, 80));
    const Status status = RenderStatus(broken.source);
    EXPECT_EQ(status.code(), broken.code) << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr(broken.says));
    EXPECT_THAT(status.message(), HasSubstr("line 1: "));
  }
}

TEST(ChatTemplate, AnErrorNamesItsLine) {
  const Status status = RenderStatus("a\n{% if true %}\n{{ nope.x }}{% endif %}");
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_EQ(status.name(), "template_error");
  EXPECT_EQ(status.message(), "chat template: line 3: 'nope' is undefined");
}

TEST(ChatTemplate, RefusesInputsThatAreNoConversation) {
  const auto chat_template = ChatTemplate::Parse("{{ messages }}");
  ASSERT_TRUE(chat_template.ok());
  for (const char* text : {"{}", "[1]", "5", "[\"a\"]"}) {
    const Json messages = *ParseJson(text);
    EXPECT_EQ((*chat_template)->Render({.messages = &messages}).status().code(),
              Code::kInvalidArgument)
        << text;
  }
  const Json not_utf8 = Json::array({{{"role", "user"}, {"content", "\xff"}}});
  EXPECT_THAT((*chat_template)->Render({.messages = &not_utf8}).status().message(),
              HasSubstr("not UTF-8"));
  const Json none = Json::array();
  const Status empty = (*chat_template)->Render({.messages = &none}).status();
  EXPECT_EQ(empty.code(), Code::kInvalidArgument);
  EXPECT_THAT(empty.message(), HasSubstr("at least one message expected, found none"));
  const Json too_big = Json::array({{{"n", 18446744073709551615u}}});
  EXPECT_THAT((*chat_template)->Render({.messages = &too_big}).status().message(),
              HasSubstr("18446744073709551615"));
  Json deep = 1;
  for (int i = 0; i < 400; ++i) deep = Json::array({deep});
  const Json deep_messages = Json::array({{{"content", deep}}});
  EXPECT_EQ((*chat_template)->Render({.messages = &deep_messages}).status().code(),
            Code::kExhausted);
}

// What `source` makes of a conversation, at GoldenClock().
std::string Rendered(const std::string& source, const std::string& messages) {
  const auto chat_template = ChatTemplate::Parse(source);
  if (!chat_template.ok()) return chat_template.status().ToString();
  const Json conversation = *ParseJson(messages);
  const std::tm now = GoldenClock();
  const auto text = (*chat_template)->Render({.messages = &conversation, .now = &now});
  return text.ok() ? *text : text.status().ToString();
}

TEST(ChatTemplate, NullFieldsOfMessagesAreDropped) {
  const std::string keys = "{% for m in messages %}{{ m }}{% endfor %}";
  EXPECT_EQ(
      Rendered(keys, R"([{"role":"user","content":null,"name":null,"n":0,"e":"","f":false}])"),
      "{'role': 'user', 'n': 0, 'e': '', 'f': False}");
  // Only the message's own: what lies deeper is the template's affair.
  EXPECT_EQ(Rendered(keys, R"([{"tool_calls":[{"id":null}],"audio":null,"x":{"y":null}}])"),
            "{'tool_calls': [{'id': None}], 'x': {'y': None}}");
  EXPECT_EQ(Rendered(keys, R"([{"role":null}])"), "{}");
  EXPECT_EQ(Rendered(keys, R"([{"reasoning_content":null,"thinking":null,"reasoning":"r"}])"),
            "{'thinking': 'r', 'reasoning': 'r', 'reasoning_content': 'r'}");
  EXPECT_EQ(Rendered("{{ messages[0].tool_calls is defined }}{{ messages[0].content is none }}",
                     R"([{"role":"assistant","content":null,"tool_calls":null}])"),
            "FalseFalse");
}

TEST(ChatTemplate, ParsesOnceAndRendersOften) {
  const auto chat_template = ChatTemplate::Parse("{{ messages|length }}{{ x }}{{ tools }}\n");
  ASSERT_TRUE(chat_template.ok());
  EXPECT_EQ((*chat_template)->source(), "{{ messages|length }}{{ x }}{{ tools }}\n");
  const Json messages = Json::array({{{"role", "user"}}});
  const Json variables = {{"x", 1.5}};
  for (int i = 0; i < 2; ++i) {
    const auto text = (*chat_template)->Render({.messages = &messages, .variables = &variables});
    ASSERT_TRUE(text.ok());
    EXPECT_EQ(*text, "11.5None");
  }
  EXPECT_EQ(*(*chat_template)->Render({}), "0None");
}

}  // namespace
}  // namespace gyrator

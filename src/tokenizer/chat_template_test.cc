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

namespace gyrator {
namespace {

using testing::HasSubstr;

const std::string kFolder = std::string(GYRATOR_SOURCE_DIR) + "/tests/golden/templates/";

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

}  // namespace
}  // namespace gyrator

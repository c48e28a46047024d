#include "tokenizer/regex.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

std::vector<std::string> Matches(std::string_view pattern, std::string_view text) {
  const Result<Regex> regex = Regex::Compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status().ToString();
  std::vector<std::string> out;
  if (!regex.ok()) return out;
  std::vector<TextRange> matches;
  regex->FindAll(text, &matches);
  for (const TextRange& match : matches) {
    out.emplace_back(text.substr(match.begin, match.end - match.begin));
  }
  return out;
}

using Texts = std::vector<std::string>;

TEST(Regex, SpaceIsWhiteSpaceOfUnicode) {
  EXPECT_EQ(Matches(R"(\s)", "a\u0085\u00a0\u2028\u3000").size(), 4u);
  EXPECT_EQ(Matches(R"(\s)", "\u180e\u200b\ufeff\x1c\x1d\x1e\x1f"), Texts{});
  EXPECT_EQ(Matches(R"([^\s]+)", "a\u180eb c"), (Texts{"a\u180e"
                                                       "b",
                                                       "c"}));
  EXPECT_EQ(Matches(R"(\S+)", "\x1f\u3000\u180e"), (Texts{"\x1f", "\u180e"}));
}

TEST(Regex, IntervalsRepeatWhereRubyRepeatsThem) {
  EXPECT_EQ(Matches(R"(\p{N}{1,3})", "1234567"), (Texts{"123", "456", "7"}));
  EXPECT_EQ(Matches(R"(\p{N}{2}+)", "12345"), Texts{"1234"});
  EXPECT_EQ(Matches(R"((?:ab){2}+c)", "ababababc"), Texts{"ababababc"});
  EXPECT_EQ(Matches(R"(a{,2}b)", "aaab"), Texts{"aab"});
}

TEST(Regex, AnchorsAreThoseOfLines) {
  EXPECT_EQ(Matches("^a", "a\na\nb"), (Texts{"a", "a"}));
  EXPECT_EQ(Matches("a$", "a\na\r\na"), (Texts{"a", "a"}));
  EXPECT_EQ(Matches(".+", "a\r\nb"), (Texts{"a\r", "b"}));
}

TEST(Regex, EmptyMatchesDoNotTouchTheMatchBefore) {
  EXPECT_EQ(Matches("a*", "aab"), (Texts{"aa", ""}));
  EXPECT_EQ(Matches("x*", "\u00e9"), (Texts{"", ""}));
}

TEST(Regex, CaseFoldsAsUnicodeDoes) {
  EXPECT_EQ(Matches("(?i:'s|'ll)", "'S'Ll'\u017f's"), (Texts{"'S", "'Ll", "'\u017f", "'s"}));
}

TEST(Regex, WhatIsNotKnownIsRefusedByName) {
  const std::vector<std::pair<std::string, Code>> broken = {
      {R"(\h)", Code::kUnsupported},
      {R"(\X)", Code::kUnsupported},
      {R"(\R)", Code::kUnsupported},
      {R"((a)\1)", Code::kUnsupported},
      {R"(\bfoo)", Code::kUnsupported},
      {"[a&&b]", Code::kUnsupported},
      {"[a[b]]", Code::kUnsupported},
      {"[[:alpha:]]", Code::kUnsupported},
      {"[]a]", Code::kUnsupported},
      {"(?<n>a)", Code::kUnsupported},
      {"(?m:a)", Code::kUnsupported},
      {"(?R)", Code::kUnsupported},
      {"a{2}?", Code::kUnsupported},
      {"a{x}", Code::kUnsupported},
      {"a+*", Code::kUnsupported},
      {R"(\p{Klingon})", Code::kUnsupported},
      {R"(\p{L)", Code::kUnsupported},
      {R"(\x{110000})", Code::kUnsupported},
      {"(a", Code::kCorruption},
      {"a)", Code::kCorruption},
      {"[a", Code::kCorruption},
      {"*a", Code::kCorruption},
      {"[b-a]", Code::kCorruption},
      {"a\xff", Code::kCorruption},
      {"a{70000}", Code::kCorruption},
      {"(?<=a+)b", Code::kCorruption},
      {std::string(40000, 'a'), Code::kUnsupported},
  };
  for (const auto& [pattern, code] : broken) {
    const Result<Regex> regex = Regex::Compile(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.status().code(), code) << pattern << ": " << regex.status().ToString();
  }
}

TEST(Regex, CatastrophicPatternsEnd) {
  EXPECT_EQ(Matches("(a|aa)+$", std::string(5000, 'a') + "b"), Texts{});
}

// Runs longer than any bound that does not grow with the text. Each pattern steps back once a
// character from the end of its run.
TEST(Regex, LongRunsAreMatchedWhole) {
  const size_t count = 3'000'000;
  const struct {
    const char* pattern;
    std::string run, end;
    size_t first;  // bytes of the first match
  } kList[] = {
      {R"(\s*[\r\n]+|\s+(?!\S)|\s+)", std::string(count, ' '), "a", count - 1},
      {R"(\s+(?!\S)|\s+)", std::string(count, '\t'), "a", count - 1},
      {R"([a-z]*[0-9]|[a-z]+)", std::string(count, 'q'), " ", count},
  };
  for (const auto& item : kList) {
    const Result<Regex> regex = Regex::Compile(item.pattern);
    ASSERT_TRUE(regex.ok()) << regex.status().ToString();
    std::vector<TextRange> matches;
    regex->FindAll(item.run + item.end, &matches);
    ASSERT_FALSE(matches.empty()) << item.pattern;
    EXPECT_EQ(matches[0].begin, 0u) << item.pattern;
    EXPECT_EQ(matches[0].end, item.first) << item.pattern;
  }
}

// Groups that repeat need a stack, a place for each round.
TEST(Regex, LongRunsOfGroupsAreMatchedWhole) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "ab12";
  for (const char* pattern : {"(?:[a-z]+[0-9]+)+", "(?:ab|12|x)+", "(?:a|b|[0-9])+"}) {
    const Result<Regex> regex = Regex::Compile(pattern);
    ASSERT_TRUE(regex.ok()) << regex.status().ToString();
    std::vector<TextRange> matches;
    regex->FindAll(text, &matches);
    ASSERT_EQ(matches.size(), 1u) << pattern;
    EXPECT_EQ(matches[0].end, text.size()) << pattern;
  }
}

}  // namespace
}  // namespace gyrator

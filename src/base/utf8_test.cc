#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gyrator {
namespace {

using Kind = Utf8Unit::Kind;

// The encodings at both ends of every length, and beside the surrogates.
struct Known {
  char32_t code_point;
  std::string bytes;
};
const std::vector<Known> kKnown = {
    {0x00, std::string(1, '\0')},   {0x7F, "\x7F"},
    {0x80, "\xC2\x80"},             {0x7FF, "\xDF\xBF"},
    {0x800, "\xE0\xA0\x80"},        {0xFFF, "\xE0\xBF\xBF"},
    {0x1000, "\xE1\x80\x80"},       {0xCFFF, "\xEC\xBF\xBF"},
    {0xD000, "\xED\x80\x80"},       {0xD7FF, "\xED\x9F\xBF"},
    {0xE000, "\xEE\x80\x80"},       {0xFFFF, "\xEF\xBF\xBF"},
    {0x10000, "\xF0\x90\x80\x80"},  {0x3FFFF, "\xF0\xBF\xBF\xBF"},
    {0x40000, "\xF1\x80\x80\x80"},  {0xFFFFF, "\xF3\xBF\xBF\xBF"},
    {0x100000, "\xF4\x80\x80\x80"}, {0x10FFFF, "\xF4\x8F\xBF\xBF"}};

TEST(Utf8, CodePointsGoBothWays) {
  for (const auto& [code_point, bytes] : kKnown) {
    std::string written;
    AppendUtf8(code_point, &written);
    EXPECT_EQ(bytes, written) << std::hex << static_cast<uint32_t>(code_point);
    const Utf8Unit unit = ReadUtf8(bytes + "x");
    EXPECT_EQ(Kind::kCharacter, unit.kind);
    EXPECT_EQ(bytes.size(), unit.size);
    EXPECT_EQ(code_point, unit.code_point);
    EXPECT_TRUE(IsValidUtf8(bytes));
    EXPECT_TRUE(IsValidUtf8("a" + bytes + bytes + "z"));
  }
}

TEST(Utf8, TheBeginningOfACharacterIsIncomplete) {
  for (const auto& [code_point, bytes] : kKnown) {
    for (size_t size = 1; size < bytes.size(); ++size) {
      const std::string begun = bytes.substr(0, size);
      EXPECT_EQ(Kind::kIncomplete, ReadUtf8(begun).kind);
      EXPECT_EQ(size, ReadUtf8(begun).size);
      EXPECT_FALSE(IsValidUtf8(begun));
      EXPECT_EQ(0u, CompletePrefix(begun));
      EXPECT_EQ(2u, CompletePrefix("ab" + begun));
    }
    EXPECT_EQ(bytes.size() + 2, CompletePrefix("ab" + bytes));
  }
}

// Each ill-formed sequence and how many of its bytes are one maximal subpart (Unicode 3.9).
TEST(Utf8, IllFormedBytesEndWhereNoCharacterCanGoOn) {
  const std::pair<const char*, size_t> list[] = {
      {"\x80", 1},             // a continuation
      {"\xBF" "a", 1},
      {"\xC0\x80", 1},         // too long a form
      {"\xC1\xBF", 1},
      {"\xC2" "a", 1},         // a second byte that is none
      {"\xC2\xC2\x80", 1},
      {"\xE0\x9F\xBF", 1},     // too long
      {"\xE0\xA0" "a", 2},
      {"\xE1\x80" "a", 2},
      {"\xE1\x7F\x80", 1},
      {"\xE1\xC0\x80", 1},
      {"\xED\xA0\x80", 1},     // a surrogate
      {"\xEF\xBF\xC0", 2},
      {"\xF0\x8F\xBF\xBF", 1},  // too long
      {"\xF0\x90\x80" "a", 3},
      {"\xF3\xBF\xBF\xC0", 3},
      {"\xF4\x90\x80\x80", 1},  // beyond 10FFFF
      {"\xF5\x80\x80\x80", 1},
      {"\xFE", 1},
      {"\xFF", 1}};
  for (const auto& [bytes, size] : list) {
    EXPECT_EQ(Kind::kIllFormed, ReadUtf8(bytes).kind) << testing::PrintToString(bytes);
    EXPECT_EQ(size, ReadUtf8(bytes).size) << testing::PrintToString(bytes);
    EXPECT_FALSE(IsValidUtf8(bytes));
    EXPECT_FALSE(IsValidUtf8("a" + std::string(bytes)));
  }
}

TEST(Utf8, WhatCannotBeCompletedIsNotWaitedFor) {
  EXPECT_EQ(0u, CompletePrefix(""));
  EXPECT_EQ(1u, CompletePrefix("a"));
  EXPECT_EQ(1u, CompletePrefix("\x80"));
  EXPECT_EQ(2u, CompletePrefix("a\xFF"));
  EXPECT_EQ(3u, CompletePrefix("\x80\x80\x80"));
  EXPECT_EQ(5u, CompletePrefix("\xF0\x90\x80\x80\x80"));  // a character and a stray byte
  EXPECT_EQ(2u, CompletePrefix("\xE0\x80"));
  EXPECT_EQ(1u, CompletePrefix("a\xF0\x90\x80"));
}

TEST(Utf8, EachMaximalSubpartIsReplacedOnce) {
  const std::string mark(kReplacementCharacter);
  const std::pair<std::string, std::string> list[] = {
      {"", ""},
      {"plain", "plain"},
      {"\xC3\xA9t\xC3\xA9", "\xC3\xA9t\xC3\xA9"},
      {"a\xFFz", "a" + mark + "z"},
      {"\xE1\x80" "a", mark + "a"},
      {"\xF0\x90\x80", mark},
      {"\xED\xA0\x80", mark + mark + mark},
      {"\xC0\xAF", mark + mark},
      {"\xF1\x80\x80\xE1\x80\xC2" "b", mark + mark + mark + "b"}};
  for (const auto& [bytes, expected] : list) {
    std::string repaired = ">";
    AppendLossy(bytes, &repaired);
    EXPECT_EQ(">" + expected, repaired) << testing::PrintToString(bytes);
  }
}

}  // namespace
}  // namespace gyrator

#include "base/keyvalue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gyrator {
namespace {

using ::testing::HasSubstr;

TEST(KeyValues, KeepsOrderCommentsAndUnknownKeys) {
  const std::string text = "# head\nb: 1\n\na.x_2: hello: world\nempty: \ntab: a\tb\n";
  const auto parsed = KeyValues::Parse(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_EQ(parsed->Serialize(), text);
  EXPECT_EQ(parsed->Find("a.x_2"), "hello: world");
  EXPECT_EQ(parsed->Find("empty"), "");
  EXPECT_FALSE(parsed->Contains("c"));
  EXPECT_TRUE(parsed->Check().ok());
}

TEST(KeyValues, ReadsTheSourcesStyle) {
  const auto parsed = KeyValues::Parse("model:Gemma-2B\ndtype: float16\nx:  two");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->Find("model"), "Gemma-2B");
  EXPECT_EQ(parsed->Find("x"), " two") << "one space belongs to the separator";
  EXPECT_EQ(parsed->Serialize(), "model: Gemma-2B\ndtype: float16\nx:  two\n");
}

TEST(KeyValues, RefusesWhatIsNoSuchFile) {
  const std::pair<std::string, std::string> broken[] = {
      {"a: 1\nb 2\n", "line 2"},
      {"a: 1\na: 2\n", "appears twice"},
      {": 1\n", "line 1"},
      {"Key: 1\n", "line 1"},
      {"a b: 1\n", "line 1"},
      {"a: 1\r\n", "control character"},
      {std::string("a: \0\n", 5), "control character"},
      {"a: \xff\n", "UTF-8"},
      {"a: \xc0\x80\n", "UTF-8"},
      {"a: \xed\xa0\x80\n", "UTF-8"},
      {"a: \xf4\x90\x80\x80\n", "UTF-8"},
      {"a: \xe2\x82", "UTF-8"},
      {" # late comment\n", "line 1"},
  };
  for (const auto& [text, why] : broken) {
    const auto parsed = KeyValues::Parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), Code::kCorruption);
    EXPECT_THAT(parsed.status().message(), HasSubstr(why)) << text;
  }
}

TEST(KeyValues, AKeyHasSmallLettersDigitsUnderscoreAndPoint) {
  for (int c = 1; c < 128; ++c) {
    const char byte = static_cast<char>(c);
    const bool good = std::string_view("abcdefghijklmnopqrstuvwxyz0123456789_.").find(byte) !=
                      std::string_view::npos;
    KeyValues keys;
    keys.Set(std::string("a") + byte, "x");
    EXPECT_EQ(good, keys.Check().ok()) << c;
    if (byte == ':' || byte == '\n') continue;  // which end a key or a line
    EXPECT_EQ(good, KeyValues::Parse(std::string("a") + byte + ": x\n").ok()) << c;
  }
}

TEST(KeyValues, AValueMayHaveATabAndNoOtherControlCharacter) {
  for (int c = 1; c < 128; ++c) {
    const char byte = static_cast<char>(c);
    const bool good = c == '\t' || (c >= 0x20 && c != 0x7f);
    KeyValues keys;
    keys.Set("a", std::string("x") + byte);
    EXPECT_EQ(good, keys.Check().ok()) << c;
    if (byte == '\n') continue;
    EXPECT_EQ(good, KeyValues::Parse(std::string("a: x") + byte + "\n").ok()) << c;
  }
}

TEST(KeyValues, ErrorsNameTheLineAndShowItsBeginning) {
  const std::string line(100, 'X');
  const Status status = KeyValues::Parse("a: 1\n\n# c\n" + line + "\n").status();
  EXPECT_THAT(status.message(), HasSubstr("line 4: "));
  EXPECT_THAT(status.message(), HasSubstr("'" + line.substr(0, 40) + "'"));
}

TEST(KeyValues, CheckKnowsCommentsAndKeysThatAppearTwice) {
  const auto commented = KeyValues::Parse("# head\n\na: 1\n");
  ASSERT_TRUE(commented.ok());
  EXPECT_TRUE(commented->Check().ok());
  EXPECT_EQ(std::nullopt, commented->Find(""));
  KeyValues comment;
  comment.AddComment("two\nlines");
  EXPECT_EQ(Code::kInvalidArgument, comment.Check().code());
  KeyValues twice;
  twice.Set("a", "1");
  KeyValues more;
  more.Set("b", "2");
  twice.AddMissing(more);
  twice.AddMissing(more);  // is there by now
  EXPECT_TRUE(twice.Check().ok());
  EXPECT_EQ("a: 1\nb: 2\n", twice.Serialize());
}

TEST(KeyValues, IntegersAreExact) {
  const auto parsed = KeyValues::Parse(
      "a: 42\nb: -7\nc: 4.2\nd: \ne:  5\nf: 9223372036854775808\ng: 0x10\nh: +1\n");
  EXPECT_EQ(*parsed->GetInt("a"), 42);
  EXPECT_EQ(*parsed->GetInt("b"), -7);
  for (const char* key : {"c", "d", "e", "f", "g", "h"}) {
    EXPECT_EQ(parsed->GetInt(key).status().code(), Code::kCorruption) << key;
  }
  EXPECT_EQ(parsed->GetInt("z").status().code(), Code::kNotFound);
}

TEST(KeyValues, CheckRefusesWhatParseWouldNotGiveBack) {
  for (const auto& [key, value] :
       {std::pair("a", "two\nlines"), std::pair("A", "x"), std::pair("", "not a comment"),
        std::pair("a", "\xff"), std::pair("a b", "x"), std::pair("a", "\x1b[1m")}) {
    KeyValues keys;
    keys.Set(key, value);
    EXPECT_EQ(keys.Check().code(), Code::kInvalidArgument) << key << value;
  }
}

TEST(KeyValues, EditsInPlace) {
  KeyValues keys;
  keys.AddComment("head");
  keys.Set("a", "1");
  keys.SetInt("b", 2);
  keys.Set("a", "3");
  EXPECT_EQ(keys.Serialize(), "# head\na: 3\nb: 2\n");
  KeyValues more;
  more.AddComment("not taken");
  more.Set("b", "9");
  more.Set("c", "4");
  keys.AddMissing(more);
  keys.Remove("a");
  EXPECT_EQ(keys.Serialize(), "# head\nb: 2\nc: 4\n");
}

}  // namespace
}  // namespace gyrator

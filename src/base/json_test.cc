#include "base/json.h"

#include <gtest/gtest.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace gyrator {
namespace {

TEST(Json, KeepsOrderTypesAndValues) {
  const std::string text =
      R"({"z":1,"a":[true,null,-5,18446744073709551615,0.5,"é\n"],"m":{"":{}}})";
  const auto value = ParseJson(text);
  ASSERT_TRUE(value.ok()) << value.status().ToString();
  EXPECT_EQ(text, DumpJson(*value));
  const Json& items = (*value)["a"];
  EXPECT_TRUE(items[2].is_number_integer());
  EXPECT_TRUE(items[3].is_number_unsigned());
  EXPECT_TRUE(items[4].is_number_float());
  EXPECT_EQ("\u00e9\n", items[5].get<std::string>());
}

// The library's own parser is the oracle wherever it gives a value.
TEST(Json, GivesWhatTheLibraryGives) {
  for (const char* text :
       {"0", "-0", "[]", "{}", "\"\"", "[[],[{}],{\"a\":[]}]", " [ 1 , 2 ] ", "1e3", "-1.5E-3",
        "\"\\ud83d\\ude00\"", "{\"a\":1,\"b\":2,\"a\":3}", "123456789012345678901234567890",
        "{\"x\":{\"y\":1,\"y\":{\"z\":1,\"z\":2}},\"x\":[1]}", "\xef\xbb\xbf[1]"}) {
    const auto value = ParseJson(text);
    ASSERT_TRUE(value.ok()) << text << ": " << value.status().ToString();
    EXPECT_EQ(Json::parse(text).dump(), DumpJson(*value)) << text;
  }
}

TEST(Json, BrokenDocumentsAreRefused) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[1",
                           "[1,]",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{a:1}",
                           "'a'",
                           "01",
                           "1.",
                           "1e999",
                           "+1",
                           "nul",
                           "NaN",
                           "\"",
                           "\"\\x\"",
                           "\"\\ud800\"",
                           "\"\n\"",
                           "[1] 2",
                           "// c\n1",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xed\xa0\x80\""}) {
    const auto value = ParseJson(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(Code::kCorruption, value.status().code()) << text;
    EXPECT_EQ(0u, value.status().message().find("json: ")) << text;
  }
  using namespace std::string_view_literals;
  for (const std::string_view text : {"1\0"sv, "1 \0 2"sv, "\0"sv, "[1,\0]"sv, "\"a\0b\""sv}) {
    const auto value = ParseJson(text);
    ASSERT_FALSE(value.ok()) << text;
    EXPECT_EQ(0u, value.status().message().find("json: a NUL at byte "))
        << value.status().message();
  }
}

TEST(Json, ErrorsNameLineAndColumn) {
  const auto value = ParseJson("{\n  \"a\": 1,\n  oops\n}");
  ASSERT_FALSE(value.ok());
  EXPECT_NE(std::string::npos, value.status().message().find("line 3, column 3"))
      << value.status().message();
}

TEST(Json, DepthIsBounded) {
  EXPECT_TRUE(ParseJson("[[[]]]", 3).ok());
  EXPECT_FALSE(ParseJson("[[[]]]", 2).ok());
  EXPECT_TRUE(ParseJson("\"[[[\"", 0).ok());
  EXPECT_TRUE(ParseJson(std::string(200, '[') + std::string(200, ']')).ok());
  const auto deep = ParseJson(std::string(1'000'000, '['));
  ASSERT_FALSE(deep.ok());
  EXPECT_NE(std::string::npos, deep.status().message().find("200 levels"));
}

TEST(Json, DuplicateNamesAreRefusedWhereAsked) {
  const char* text = R"({"a":{"b":1,"c":2,"b":3}})";
  EXPECT_EQ(R"({"a":{"b":3,"c":2}})", DumpJson(*ParseJson(text)));
  const auto refused = ParseJson(text, 200, DuplicateNames::kRefuse);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(std::string::npos, refused.status().message().find("'b'"));
  EXPECT_TRUE(ParseJson(R"({"a":{"b":1},"b":{"a":1}})", 200, DuplicateNames::kRefuse).ok());
}

// A vocabulary: the library's own builder takes minutes for this.
TEST(Json, IntegersBeyond64BitsAreRefusedWhereTheirDigitsMatter) {
  for (const char* text :
       {"18446744073709551616", "-9223372036854775809", R"([1,{"a":100000000000000000000}])"}) {
    EXPECT_TRUE(ParseJson(text).ok()) << text;
    const Status status = ParseExactJson(text).status();
    EXPECT_EQ(Code::kCorruption, status.code()) << text;
    EXPECT_NE(std::string::npos, status.message().find("64 bits")) << status.message();
  }
  for (const char* text :
       {"18446744073709551615", "-9223372036854775808", "1e30", "100000000000000000000.0"}) {
    EXPECT_TRUE(ParseExactJson(text).ok()) << text;
  }
}

TEST(Json, ManyNamesTakeLinearTime) {
  constexpr int kNames = 300'000;
  std::string text = "{";
  for (int i = 0; i < kNames; ++i) {
    text += (i > 0 ? ",\"token" : "\"token") + std::to_string(i * 7919LL % kNames) + "\":1";
  }
  const auto value = ParseJson(text + "}", 2, DuplicateNames::kRefuse);
  ASSERT_TRUE(value.ok()) << value.status().ToString();
  EXPECT_EQ(static_cast<size_t>(kNames), value->size());
  EXPECT_EQ("token7919", std::next(value->begin()).key());
}

TEST(Json, DumpReplacesInvalidUtf8) {
  EXPECT_EQ("\"a\xef\xbf\xbd\"", DumpJson(Json("a\xff")));
  EXPECT_EQ("{\n  \"a\": 1\n}", DumpJson(Json{{"a", 1}}, 2));
}

}  // namespace
}  // namespace gyrator

// What the scanner takes is what the parser takes, and it gives the same values.
#include "base/json_scan.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/utf8.h"

namespace gyrator {
namespace {

constexpr int kDepth = 20;

Status Scan(std::string_view text, std::string* out = nullptr) {
  JsonScanner scanner(text, kDepth);
  GYRATOR_RETURN_IF_ERROR(scanner.Value(out));
  return scanner.ExpectEnd();
}

// Of valid UTF-8: the parser's verdict, and its value.
void ExpectAsParsed(const std::string& text) {
  const Result<Json> parsed = ParseJson(text, kDepth);
  std::string squeezed;
  const Status scanned = Scan(text, &squeezed);
  const bool too_large = parsed.status().message().find("number overflow") != std::string::npos;
  if (too_large) return;  // the scanner knows no values
  ASSERT_EQ(parsed.ok(), scanned.ok()) << text << "\n"
                                       << parsed.status().ToString() << "\n"
                                       << scanned.ToString();
  if (!parsed.ok()) return;
  EXPECT_EQ(*parsed, *ParseJson(squeezed, kDepth)) << text;
  EXPECT_LE(squeezed.size(), text.size());
}

constexpr std::string_view kTexts[] = {
    "null", "true", "false", "0", "-0", "-1.5e+10", "1E5", "0.25", "\"\"", "\"a b\"", "[]", "{}",
    " [ ] ", "[1,2 , 3]", "{\"a\":1}", "{ \"a\" : [ { } , [ ] ] , \"b\" : null }",
    "\"\\u00e9\\n\\\"\\\\\\/\\b\\f\\r\\t\"", "\"\\ud83d\\ude00\"",
    "\"Gr\xc3\xbc\xc3\x9f"
    "e\"",
    "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
    // refused
    "", " ", "nul", "nullx", "True", "+1", "01", "1.", ".5", "1e", "-", "--1", "\"", "\"\\x\"",
    "\"\\u12g4\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83d\\u0041\"", "\"\n\"", "\"\\", "[", "]",
    "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{,}",
    "{1:2}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "[}", "{]", "[1}", "{\"a\":1]", "1 2", "[] []",
    "[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]", "\x01", "1e5x", "tru\xc3\xa9"};

TEST(JsonScanner, TakesWhatTheParserTakes) {
  for (const std::string_view text : kTexts) ExpectAsParsed(std::string(text));
  ExpectAsParsed("\xef\xbb\xbf[1]");
}

TEST(JsonScanner, TakesWhatTheParserTakesOfRandomTexts) {
  uint64_t state = 7;
  const auto random = [&state](size_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>(state >> 33) % below;
  };
  constexpr std::string_view kPieces[] = {"[",     "]",           "{",  "}",    ",",    ":",
                                          "\"a\"", "\"\\u0041\"", "1",  "-2.5", "null", " ",
                                          "\n",    "\\",          "\"", "0",    "e1",   "true"};
  int valid = 0;
  for (int i = 0; i < 60000; ++i) {
    std::string text(kTexts[random(std::size(kTexts))]);
    for (size_t change = random(4); change > 0; --change) {
      const std::string_view piece = kPieces[random(std::size(kPieces))];
      const size_t at = random(text.size() + 1);
      text.replace(at, random(2) * std::min<size_t>(1, text.size() - at), piece);
    }
    if (!IsValidUtf8(text)) continue;
    ExpectAsParsed(text);
    valid += Scan(text).ok() ? 1 : 0;
  }
  EXPECT_GT(valid, 5000);
}

TEST(JsonScanner, GivesStringsAsTheParserDoes) {
  for (const std::string text : {R"("")", R"("a\u00e9\n\"\\\/\b\f\r\t")", R"("\ud83d\ude00 x")",
                                 R"("\u0000\u007f\uffff")"}) {
    JsonScanner scanner(text, 1);
    std::string out;
    ASSERT_TRUE(scanner.String(&out).ok()) << text;
    EXPECT_EQ(ParseJson(text)->get<std::string>(), out);
  }
}

TEST(JsonScanner, GivesWholeNumbersAlone) {
  for (const auto& [text, value] : {std::pair("0", int64_t{0}), std::pair(" 12,", int64_t{12}),
                                    std::pair("999999999999999999", 999999999999999999)}) {
    JsonScanner scanner(text, 1);
    int64_t number = -1;
    ASSERT_TRUE(scanner.WholeNumber(&number).ok()) << text;
    EXPECT_EQ(value, number);
  }
  for (const char* text : {"", "-1", "01", "1.0", "1e3", "x", "9999999999999999999"}) {
    JsonScanner scanner(text, 1);
    int64_t number = 0;
    EXPECT_EQ(Code::kCorruption, scanner.WholeNumber(&number).code()) << text;
  }
}

TEST(JsonScanner, SaysWhereAndWhat) {
  const Status status = Scan("[1, tru]");
  EXPECT_EQ("json: byte 4: a value expected, found 'tru]'", status.message());
  EXPECT_EQ("json: byte 2: ',' or ']' expected, found the end", Scan("[1").message());
}

}  // namespace
}  // namespace gyrator

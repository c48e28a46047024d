// Text as Python's str sees it: sequences of code points, kept as UTF-8.
//
// All functions REQUIRE valid UTF-8 (utf8.h); indexes count code points. White space, case and
// printability follow Python 3.11's str, with the Unicode tables of utf8proc. Thread-safe: no
// state.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gyrator::jinja {

// Decodes the code point at *pos and moves *pos behind it. REQUIRES: *pos < text.size().
char32_t DecodeAt(std::string_view text, size_t* pos);
std::u32string Decode(std::string_view text);
std::string Encode(std::u32string_view text);
size_t CountCodePoints(std::string_view text);
// The byte at which code point `idx` starts; text.size() when idx is past the end.
size_t ByteOffset(std::string_view text, size_t idx);

// str.isspace() of one character, and the line breaks of str.splitlines().
bool IsSpace(char32_t c);
bool IsLineBreak(char32_t c);
// False for the characters that repr() escapes.
bool IsPrintable(char32_t c);
// A character of \w in Python's re.
bool IsWord(char32_t c);

struct StripSides {
  bool left = true;
  bool right = true;
};
// Takes off white space, or the characters of `chars` where given.
std::string_view Strip(std::string_view text, StripSides sides,
                       std::optional<std::string_view> chars = std::nullopt);

std::string Upper(std::string_view text);
std::string Lower(std::string_view text);       // with the final sigma rule
std::string Capitalize(std::string_view text);  // first character title case, the rest lower
std::string Title(std::string_view text);       // str.title()

enum class TextClass { kAlnum, kAlpha, kDecimal, kDigit, kLower, kSpace, kUpper };
// str.isalnum() and its siblings; false for the empty text.
bool HasClass(std::string_view text, TextClass text_class);

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends);

}  // namespace gyrator::jinja

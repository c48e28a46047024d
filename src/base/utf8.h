// UTF-8 (RFC 3629): reading code points, finding what is ill-formed, and repairing it as Unicode's
// "substitution of maximal subparts" (chapter 3.9) says, which is what Rust's from_utf8_lossy does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gyrator {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

// What stands at the beginning of some bytes.
struct Utf8Unit {
  enum class Kind : uint8_t { kCharacter, kIllFormed, kIncomplete };
  Kind kind = Kind::kIncomplete;
  uint8_t size = 0;         // bytes of the character, or of the maximal ill-formed subpart
  char32_t code_point = 0;  // of a character
};

// The first unit of `bytes`, which must not be empty. kIncomplete: all of `bytes` is the beginning
// of a character that more bytes could complete.
Utf8Unit ReadUtf8(std::string_view bytes);

bool IsValidUtf8(std::string_view bytes);

// The size of the longest prefix that does not end inside a character that could still be
// completed.
size_t CompletePrefix(std::string_view bytes);

// Appends `bytes`, each maximal ill-formed subpart replaced by U+FFFD.
void AppendLossy(std::string_view bytes, std::string* out);

// Appends the encoding of a scalar value (not a surrogate, <= 0x10FFFF).
void AppendUtf8(char32_t code_point, std::string* out);

}  // namespace gyrator

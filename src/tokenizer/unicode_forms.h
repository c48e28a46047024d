// Unicode normalization forms with the data that Hugging Face tokenizers has (Unicode 9), by
// utf8proc (Unicode 15).
//
// Code points that are younger than Unicode 9 and would decompose, compose or be reordered are left
// where they are, as Hugging Face leaves them (docs/tokenizer.md). Linear in the text, but for a
// sort of each run of combining marks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gyrator {

enum class UnicodeForm : uint8_t { kNfc, kNfd, kNfkc, kNfkd };

// `text` must be valid UTF-8.
std::string ToUnicodeForm(UnicodeForm form, std::string_view text);

// char::to_lowercase of each character, without context.
std::string ToLowercase(std::string_view text);

}  // namespace gyrator

// The characters whose upper or title case is more than one character (Unicode SpecialCasing.txt,
// the entries without a condition), as Python 3.11 has them.
#pragma once

#include <string_view>

namespace gyrator::jinja {

struct SpecialCase {
  char32_t lower;
  std::u32string_view upper;
  std::u32string_view title;
};

// nullptr where one character maps to one.
const SpecialCase* FindSpecialCase(char32_t c);

}  // namespace gyrator::jinja

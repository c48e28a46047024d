// The tables behind FindFilter and FindMethod (jinja_runtime.h), and what filters and methods
// share.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_runtime.h"

namespace gyrator::jinja {

std::span<const Builtin> TextFilters();      // jinja_filters_text.cc
std::span<const Builtin> SequenceFilters();  // jinja_filters_sequence.cc
std::span<const Builtin> StringMethods();    // jinja_methods_string.cc

// str.replace(old, with, count); a negative count: all. An empty `old` stands between all
// characters.
struct Replacement {
  std::string old;
  std::string with;
  int64_t count = -1;
};
void ReplaceText(std::string_view text, const Replacement& replacement, TextBuilder* out);

// str.center(width, fill).
std::string CenterText(std::string_view text, int64_t width, std::string_view fill, Budget* budget);

}  // namespace gyrator::jinja

#include "tokenizer/unicode_forms.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/utf8.h"

namespace gyrator {

namespace {

struct CodePointRange {
  char32_t first;
  char32_t last;
};

// Younger than Unicode 9 with a decomposition, a composition or a combining class: made by
// comparing every code point (tools/golden/tokenizer.py checks that the list is complete).
constexpr std::array<CodePointRange, 47> kYoung = {{
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11935, 0x11935}, {0x11938, 0x11938},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
}};

bool IsYoung(char32_t c) {
  const auto at = std::upper_bound(kYoung.begin(), kYoung.end(), c,
                                   [](char32_t v, const CodePointRange& r) { return v < r.first; });
  return at != kYoung.begin() && c <= std::prev(at)->last;
}

int CombiningClass(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Puts the marks of [first, last) into canonical order.
void OrderMarks(utf8proc_int32_t* first, utf8proc_int32_t* last) {
  while (first != last) {
    if (CombiningClass(*first) == 0) {
      ++first;
      continue;
    }
    auto* run_end = std::find_if(first, last, [](auto c) { return CombiningClass(c) == 0; });
    std::stable_sort(first, run_end,
                     [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
    first = run_end;
  }
}

// A stretch of text without young code points, decomposed.
class Segment {
 public:
  explicit Segment(UnicodeForm form)
      : compose_(form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc),
        options_(form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd
                     ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT
                     : UTF8PROC_DECOMPOSE) {}

  void Add(char32_t c) {
    utf8proc_int32_t parts[32];  // the longest decomposition has 18
    int boundary = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, std::size(parts),
                                static_cast<utf8proc_option_t>(options_), &boundary);
    code_points_.insert(code_points_.end(), parts, parts + std::max<utf8proc_ssize_t>(count, 0));
  }

  void Flush(std::string* out) {
    auto size = static_cast<utf8proc_ssize_t>(code_points_.size());
    OrderMarks(code_points_.data(), code_points_.data() + size);
    if (compose_) {
      constexpr auto kCompose = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
      size = utf8proc_normalize_utf32(code_points_.data(), size, kCompose);
    }
    for (utf8proc_ssize_t i = 0; i < size; ++i) {
      AppendUtf8(static_cast<char32_t>(code_points_[static_cast<size_t>(i)]), out);
    }
    code_points_.clear();
  }

 private:
  bool compose_;
  int options_;
  std::vector<utf8proc_int32_t> code_points_;
};

// No character below U+0300 changes under NFC, and none below U+0080 under any form.
bool IsUnchanged(UnicodeForm form, std::string_view text) {
  const uint8_t limit = form == UnicodeForm::kNfc ? 0xCC : 0x80;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return static_cast<uint8_t>(c) < limit; });
}

}  // namespace

std::string ToUnicodeForm(UnicodeForm form, std::string_view text) {
  if (IsUnchanged(form, text)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  Segment segment(form);
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    i += unit.size;
    if (!IsYoung(unit.code_point)) {
      segment.Add(unit.code_point);
      continue;
    }
    segment.Flush(&out);
    AppendUtf8(unit.code_point, &out);
  }
  segment.Flush(&out);
  return out;
}

std::string ToLowercase(std::string_view text) {
  constexpr char32_t kDottedI = 0x130;  // the one character whose lower case is two
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Unit unit = ReadUtf8(text.substr(i));
    i += unit.size;
    if (unit.code_point == kDottedI) {
      out += "i\xCC\x87";
    } else {
      AppendUtf8(
          static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(unit.code_point))),
          &out);
    }
  }
  return out;
}

}  // namespace gyrator

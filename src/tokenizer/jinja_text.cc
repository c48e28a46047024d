#include "tokenizer/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/jinja_casing.h"

namespace gyrator::jinja {

namespace {

utf8proc_category_t CategoryOf(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool IsUpperOrTitle(char32_t c) {
  const auto category = CategoryOf(c);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
}

bool IsCased(char32_t c) { return IsUpperOrTitle(c) || CategoryOf(c) == UTF8PROC_CATEGORY_LL; }

bool IsAlpha(char32_t c) {
  const auto category = CategoryOf(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsDigit(char32_t c) {
  return CategoryOf(c) == UTF8PROC_CATEGORY_ND || c == 0xB2 || c == 0xB3 || c == 0xB9 ||
         c == 0x2070 || (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
}

bool IsAlnum(char32_t c) {
  const auto category = CategoryOf(c);
  return IsAlpha(c) || (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

bool IsCaseIgnorable(char32_t c) {
  switch (CategoryOf(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2019;
  }
}

// Whether the capital sigma at `at` ends a word (Unicode 3.13, Final_Sigma).
bool IsFinalSigma(const std::u32string& text, size_t at) {
  size_t before = at;
  while (before > 0 && IsCaseIgnorable(text[before - 1])) --before;
  if (before == 0 || !IsCased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && IsCaseIgnorable(text[after])) ++after;
  return after == text.size() || !IsCased(text[after]);
}

void AppendLower(const std::u32string& text, size_t at, std::string* out) {
  const char32_t c = text[at];
  if (c == 0x3A3) {
    AppendUtf8(IsFinalSigma(text, at) ? 0x3C2 : 0x3C3, out);
  } else if (c == 0x130) {
    out->append("i\xCC\x87");
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
  }
}

void AppendAll(std::u32string_view text, std::string* out) {
  for (const char32_t c : text) AppendUtf8(c, out);
}

void AppendUpper(char32_t c, std::string* out) {
  if (const SpecialCase* special = FindSpecialCase(c)) return AppendAll(special->upper, out);
  AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
}

void AppendTitle(char32_t c, std::string* out) {
  if (const SpecialCase* special = FindSpecialCase(c)) return AppendAll(special->title, out);
  AppendUtf8(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))), out);
}

// The length of the sequence that the lead byte announces.
int SequenceLength(unsigned char lead) {
  if (lead < 0x80) return 1;
  return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

}  // namespace

char32_t DecodeAt(std::string_view text, size_t* pos) {
  const auto lead = static_cast<unsigned char>(text[(*pos)++]);
  if (lead < 0x80) return lead;
  const int length = SequenceLength(lead);
  char32_t c = lead & (0xFFu >> (length + 1));
  for (int i = 1; i < length && *pos < text.size(); ++i) {
    c = (c << 6) | (static_cast<unsigned char>(text[(*pos)++]) & 0x3Fu);
  }
  return c;
}

std::u32string Decode(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size();) out.push_back(DecodeAt(text, &pos));
  return out;
}

std::string Encode(std::u32string_view text) {
  std::string out;
  AppendAll(text, &out);
  return out;
}

size_t CountCodePoints(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

size_t ByteOffset(std::string_view text, size_t idx) {
  size_t pos = 0;
  for (; idx > 0 && pos < text.size(); --idx) DecodeAt(text, &pos);
  return pos;
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool IsLineBreak(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  switch (CategoryOf(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool IsWord(char32_t c) { return c == '_' || IsAlnum(c); }

std::string_view Strip(std::string_view text, StripSides sides,
                       std::optional<std::string_view> chars) {
  const std::u32string set = chars ? Decode(*chars) : std::u32string();
  const auto drops = [&](char32_t c) {
    return chars ? set.find(c) != std::u32string::npos : IsSpace(c);
  };
  size_t begin = 0;
  size_t end = text.size();
  while (sides.left && begin < end) {
    size_t next = begin;
    if (!drops(DecodeAt(text, &next))) break;
    begin = next;
  }
  while (sides.right && end > begin) {
    size_t start = end - 1;
    while (start > begin && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    size_t next = start;
    if (!drops(DecodeAt(text, &next))) break;
    end = start;
  }
  return text.substr(begin, end - begin);
}

std::string Upper(std::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) AppendUpper(DecodeAt(text, &pos), &out);
  return out;
}

std::string Lower(std::string_view text) {
  const std::u32string wide = Decode(text);
  std::string out;
  for (size_t i = 0; i < wide.size(); ++i) AppendLower(wide, i, &out);
  return out;
}

std::string Capitalize(std::string_view text) {
  const std::u32string wide = Decode(text);
  std::string out;
  for (size_t i = 0; i < wide.size(); ++i) {
    if (i == 0)
      AppendTitle(wide[i], &out);
    else
      AppendLower(wide, i, &out);
  }
  return out;
}

std::string Title(std::string_view text) {
  const std::u32string wide = Decode(text);
  std::string out;
  bool in_word = false;
  for (size_t i = 0; i < wide.size(); ++i) {
    if (in_word)
      AppendLower(wide, i, &out);
    else
      AppendTitle(wide[i], &out);
    in_word = IsCased(wide[i]);
  }
  return out;
}

bool HasClass(std::string_view text, TextClass text_class) {
  bool any_cased = false;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = DecodeAt(text, &pos);
    bool holds = true;
    switch (text_class) {
      case TextClass::kAlnum:
        holds = IsAlnum(c);
        break;
      case TextClass::kAlpha:
        holds = IsAlpha(c);
        break;
      case TextClass::kDecimal:
        holds = CategoryOf(c) == UTF8PROC_CATEGORY_ND;
        break;
      case TextClass::kDigit:
        holds = IsDigit(c);
        break;
      case TextClass::kSpace:
        holds = IsSpace(c);
        break;
      case TextClass::kLower:
        holds = !IsUpperOrTitle(c);
        break;
      case TextClass::kUpper:
        holds = !IsCased(c) || CategoryOf(c) == UTF8PROC_CATEGORY_LU;
        break;
    }
    if (!holds) return false;
    any_cased = any_cased || IsCased(c);
  }
  const bool needs_case = text_class == TextClass::kLower || text_class == TextClass::kUpper;
  return needs_case ? any_cased : !text.empty();
}

std::vector<std::string_view> SplitLines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = pos;
    const char32_t c = DecodeAt(text, &pos);
    if (!IsLineBreak(c)) continue;
    if (c == '\r' && pos < text.size() && text[pos] == '\n') ++pos;
    lines.push_back(text.substr(start, (keep_ends ? pos : end) - start));
    start = pos;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

}  // namespace gyrator::jinja

#include "tokenizer/jinja_lexer.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/utf8.h"
#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }

bool IsDigitOf(char c, int base) {
  if (base == 16 && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) return true;
  return c >= '0' && c < '0' + std::min(base, 10);
}

bool IsNameCharacter(char32_t c) {
  if (IsWord(c)) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

// Every line break as "\n"; one at the end goes.
std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
      continue;
    }
    out.push_back('\n');
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

// The length of [digit]([_]?digit)* at `text`; 0 when it does not start with a digit.
size_t DigitRun(std::string_view text, int base) {
  size_t length = 0;
  while (length < text.size()) {
    const bool underscore = length > 0 && text[length] == '_';
    const size_t at = length + underscore;
    if (at >= text.size() || !IsDigitOf(text[at], base)) break;
    length = at + 1;
  }
  return length;
}

// The length of the float literal at `text`; 0 when there is none.
size_t FloatLength(std::string_view text) {
  const size_t whole = DigitRun(text, 10);
  if (whole == 0) return 0;
  size_t end = whole;
  if (end < text.size() && text[end] == '.') {
    const size_t fraction = DigitRun(text.substr(end + 1), 10);
    if (fraction > 0) end += 1 + fraction;
  }
  if (end < text.size() && (text[end] == 'e' || text[end] == 'E')) {
    const bool sign = end + 1 < text.size() && (text[end + 1] == '+' || text[end + 1] == '-');
    const size_t exponent = DigitRun(text.substr(std::min(text.size(), end + 1 + sign)), 10);
    if (exponent > 0) return end + 1 + sign + exponent;
  }
  return end > whole ? end : 0;
}

size_t IntegerLength(std::string_view text) {
  if (text.empty() || !IsAsciiDigit(text[0])) return 0;
  if (text[0] != '0') return DigitRun(text, 10);
  if (text.size() > 1) {
    const char kind = static_cast<char>(text[1] | 0x20);
    const int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    std::string_view digits = text.substr(2);
    if (base != 0 && digits.starts_with('_')) digits.remove_prefix(1);
    const size_t run = base == 0 ? 0 : DigitRun(digits, base);
    if (run > 0) return text.size() - digits.size() + run;
  }
  size_t length = 1;  // zeros alone: "007" is not a number
  while (length < text.size()) {
    const bool underscore = text[length] == '_';
    if (length + underscore >= text.size() || text[length + underscore] != '0') break;
    length += underscore + 1;
  }
  return length;
}

std::optional<char32_t> ReadCode(std::string_view text, size_t digits, int base) {
  if (text.size() < digits) return std::nullopt;
  char32_t code = 0;
  for (const char c : text.substr(0, digits)) {
    if (!IsDigitOf(c, base)) return std::nullopt;
    const int digit = IsAsciiDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
    code = code * static_cast<char32_t>(base) + static_cast<char32_t>(digit);
  }
  return code;
}

// Python's unicode-escape over ASCII; other characters were written as \x, \u or \U before.
Status DecodeEscape(std::string_view text, size_t* pos, int line, std::string* out) {
  const char c = text[*pos];
  constexpr std::string_view kPlain = "\\'\"abfnrtv";
  constexpr std::string_view kMeaning = "\\'\"\a\b\f\n\r\t\v";
  if (const size_t at = kPlain.find(c); at != std::string_view::npos) {
    out->push_back(kMeaning[at]);
    ++*pos;
    return {};
  }
  if (c == '\n') {  // a line that goes on
    ++*pos;
    return {};
  }
  if (c >= '0' && c <= '7') {
    size_t digits = 1;
    while (digits < 3 && *pos + digits < text.size() && IsDigitOf(text[*pos + digits], 8)) ++digits;
    AppendUtf8(*ReadCode(text.substr(*pos), digits, 8), out);
    *pos += digits;
    return {};
  }
  if (c == 'N') {
    return Status::Unsupported(fmt::format("line {}: \\N escapes are not supported", line));
  }
  const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits == 0) {  // not an escape: the backslash stays
    out->push_back('\\');
    return {};
  }
  const auto code = ReadCode(text.substr(*pos + 1), digits, 16);
  if (!code || *code > 0x10FFFF) {
    return SyntaxError(line, fmt::format("truncated or impossible \\{} escape", c));
  }
  if (*code >= 0xD800 && *code <= 0xDFFF) {
    return SyntaxError(line, "an escaped surrogate is no text in UTF-8");
  }
  AppendUtf8(*code, out);
  *pos += 1 + digits;
  return {};
}

Result<std::string> Unescape(std::string_view body, int line) {
  std::string out;
  for (size_t pos = 0; pos < body.size();) {
    if (body[pos] != '\\') {
      out.push_back(body[pos++]);
      continue;
    }
    ++pos;
    if (pos < body.size() && static_cast<unsigned char>(body[pos]) < 0x80) {
      GYRATOR_RETURN_IF_ERROR(DecodeEscape(body, &pos, line, &out));
      continue;
    }
    // Python first writes other characters as escapes, which then lose their own backslash here.
    out.push_back('\\');
    if (pos == body.size()) break;
    const auto code = static_cast<uint32_t>(DecodeAt(body, &pos));
    if (code < 0x100)
      out += fmt::format("x{:02x}", code);
    else
      out += code < 0x10000 ? fmt::format("u{:04x}", code) : fmt::format("U{:08x}", code);
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> Run() {
    while (pos_ < source_.size()) {
      GYRATOR_RETURN_IF_ERROR(Root());
    }
    Add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view Rest() const { return std::string_view(source_).substr(pos_); }
  bool At(std::string_view text) const { return Rest().starts_with(text); }
  void Add(TokenType type, std::string_view text) {
    tokens_.push_back({type, std::string(text), line_});
  }

  void Consume(size_t length) {
    const std::string_view taken = Rest().substr(0, length);
    line_ += static_cast<int>(std::count(taken.begin(), taken.end(), '\n'));
    if (length > 0) line_starting_ = taken.back() == '\n';
    pos_ += length;
  }

  static size_t SpaceLength(std::string_view text) {
    return text.size() - Strip(text, {.left = true, .right = false}).size();
  }

  // The length of a tag's end at `pos_`: "-%}" with the white space behind, "+%}", "%}" with one
  // line break. 0 when it is not here.
  size_t TagEndLength(std::string_view close, bool is_block) const {
    const std::string_view rest = Rest();
    if (rest.starts_with('-') && rest.substr(1).starts_with(close)) {
      return 1 + close.size() + SpaceLength(rest.substr(1 + close.size()));
    }
    if (is_block && rest.starts_with('+') && rest.substr(1).starts_with(close)) {
      return 1 + close.size();
    }
    if (!rest.starts_with(close)) return 0;
    const bool trims = is_block && rest.substr(close.size()).starts_with('\n');
    return close.size() + trims;
  }

  // Emits the text before a tag. `sign` is what stands behind the tag's opening.
  void AddData(std::string_view text, char sign, bool is_variable) {
    std::string_view kept = text;
    if (sign == '-') {
      kept = Strip(text, {.left = false, .right = true});
    } else if (sign != '+' && !is_variable) {
      const size_t line_start = text.rfind('\n') + 1;  // 0 when there is none
      const std::string_view indent = text.substr(line_start);
      if ((line_start > 0 || line_starting_) && SpaceLength(indent) == indent.size()) {
        kept = text.substr(0, line_start);
      }
    }
    if (!kept.empty()) Add(TokenType::kData, kept);
    Consume(text.size());
  }

  // The length of "raw" and the end of its tag, behind "{%" and its sign; 0 when it is another tag.
  static size_t RawOpeningLength(std::string_view text) {
    size_t at = SpaceLength(text);
    if (!text.substr(at).starts_with("raw")) return 0;
    at += 3;
    at += SpaceLength(text.substr(at));
    if (text.substr(at).starts_with("%}")) return at + 2;
    if (!text.substr(at).starts_with("-%}")) return 0;
    return at + 3 + SpaceLength(text.substr(at + 3));
  }

  Status Root() {
    size_t at = 0;
    const std::string_view rest = Rest();
    while (true) {
      at = rest.find('{', at);
      if (at == std::string_view::npos || at + 1 == rest.size()) {
        Add(TokenType::kData, rest);
        Consume(rest.size());
        return {};
      }
      if (rest[at + 1] == '%' || rest[at + 1] == '{' || rest[at + 1] == '#') break;
      ++at;
    }
    const char kind = rest[at + 1];
    const std::string_view behind = rest.substr(at + 2);
    const bool has_sign = behind.starts_with('-') || behind.starts_with('+');
    const size_t raw = kind == '%' ? RawOpeningLength(behind.substr(has_sign)) : 0;
    AddData(rest.substr(0, at), has_sign ? behind[0] : '\0', kind == '{');
    if (kind == '#') {
      Consume(2 + has_sign);
      return Comment();
    }
    if (raw > 0) {
      Consume(2 + has_sign + raw);
      return Raw();
    }
    Add(kind == '%' ? TokenType::kBlockBegin : TokenType::kVariableBegin, "");
    Consume(2 + has_sign);
    return kind == '%' ? Tag("%}", TokenType::kBlockEnd) : Tag("}}", TokenType::kVariableEnd);
  }

  Status Comment() {
    const size_t close = Rest().find("#}");
    if (close == std::string_view::npos) return SyntaxError(line_, "missing end of comment tag");
    const char sign = close > 0 ? Rest()[close - 1] : '\0';
    Consume(sign == '-' || sign == '+' ? close - 1 : close);
    Consume(TagEndLength("#}", /*is_block=*/true));
    return {};
  }

  Status Raw() {
    const int line = line_;
    for (size_t at = Rest().find("{%"); at != std::string_view::npos;
         at = Rest().find("{%", at + 1)) {
      std::string_view tag = Rest().substr(at + 2);
      const char sign = tag.starts_with('-') || tag.starts_with('+') ? tag[0] : '\0';
      if (sign != '\0') tag.remove_prefix(1);
      tag.remove_prefix(SpaceLength(tag));
      if (!tag.starts_with("endraw")) continue;
      tag.remove_prefix(6);
      tag.remove_prefix(SpaceLength(tag));
      if (!tag.starts_with("%}") && !tag.starts_with("-%}") && !tag.starts_with("+%}")) continue;
      const size_t opening = Rest().size() - tag.size() - at;
      AddData(Rest().substr(0, at), sign, /*is_variable=*/false);
      Consume(opening);
      Consume(TagEndLength("%}", /*is_block=*/true));
      return {};
    }
    return SyntaxError(line, "missing end of raw directive");
  }

  Status Tag(std::string_view close, TokenType end_type) {
    std::string open_brackets;
    while (pos_ < source_.size()) {
      if (open_brackets.empty()) {
        const size_t end = TagEndLength(close, end_type == TokenType::kBlockEnd);
        if (end > 0) {
          Add(end_type, "");
          Consume(end);
          return {};
        }
      }
      GYRATOR_RETURN_IF_ERROR(OneToken(&open_brackets));
    }
    return {};  // the parser meets the end of the template
  }

  Status OneToken(std::string* open_brackets) {
    const std::string_view rest = Rest();
    if (const size_t space = SpaceLength(rest); space > 0) {
      Consume(space);
      return {};
    }
    const bool after_dot = pos_ > 0 && source_[pos_ - 1] == '.';
    if (const size_t length = after_dot ? 0 : FloatLength(rest); length > 0) {
      return Number(TokenType::kFloat, length);
    }
    if (const size_t length = IntegerLength(rest); length > 0) {
      return Number(TokenType::kInteger, length);
    }
    if (rest[0] == '\'' || rest[0] == '"') return Text();
    size_t name = 0;
    while (name < rest.size()) {
      size_t next = name;
      if (!IsNameCharacter(DecodeAt(rest, &next))) break;
      name = next;
    }
    if (name > 0) {
      Add(TokenType::kName, rest.substr(0, name));
      Consume(name);
      return {};
    }
    return Operator(open_brackets);
  }

  Status Number(TokenType type, size_t length) {
    std::string text(Rest().substr(0, length));
    std::erase(text, '_');
    Add(type, text);
    Consume(length);
    return {};
  }

  Status Text() {
    const std::string_view rest = Rest();
    size_t end = 1;
    while (end < rest.size() && rest[end] != rest[0]) end += rest[end] == '\\' ? 2 : 1;
    if (end >= rest.size()) return SyntaxError(line_, "a string is not closed");
    GYRATOR_ASSIGN_OR_RETURN(const std::string text, Unescape(rest.substr(1, end - 1), line_));
    Add(TokenType::kString, text);
    Consume(end + 1);
    return {};
  }

  Status Operator(std::string* open_brackets) {
    constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    const auto* found = std::find_if(kOperators.begin(), kOperators.end(),
                                     [&](std::string_view op) { return At(op); });
    if (found == kOperators.end()) {
      size_t end = 0;
      DecodeAt(Rest(), &end);
      return SyntaxError(line_,
                         fmt::format("unexpected character {}", Quote(Rest().substr(0, end))));
    }
    const char c = (*found)[0];
    if (c == '(') open_brackets->push_back(')');
    if (c == '[') open_brackets->push_back(']');
    if (c == '{') open_brackets->push_back('}');
    if (c == ')' || c == ']' || c == '}') {
      if (open_brackets->empty()) return SyntaxError(line_, fmt::format("unexpected '{}'", c));
      if (open_brackets->back() != c) {
        return SyntaxError(line_,
                           fmt::format("unexpected '{}', expected '{}'", c, open_brackets->back()));
      }
      open_brackets->pop_back();
    }
    Add(TokenType::kOperator, *found);
    Consume(found->size());
    return {};
  }

  const std::string source_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // the last match ended a line
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> Tokenize(std::string_view source) {
  if (!IsValidUtf8(source)) return SyntaxError(1, "the template is not UTF-8");
  return Lexer(NormalizeNewlines(source)).Run();
}

Status SyntaxError(int line, std::string_view message) {
  return Status::Corruption(fmt::format("line {}: {}", line, message)).Named("template_syntax");
}

}  // namespace gyrator::jinja

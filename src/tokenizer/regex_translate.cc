// Oniguruma's Ruby syntax to PCRE2's, for Regex::Compile.
#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "base/utf8.h"
#include "tokenizer/regex.h"

namespace gyrator {

const std::string_view kRustWordMembers = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d})";

namespace {

// \w of Oniguruma; PCRE2's own lacks marks and connectors. The six superscripts and fractions of
// Latin-1 are words to Oniguruma, though not to Unicode.
constexpr std::string_view kWordMembers =
    R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

constexpr std::array<std::string_view, 38> kCategories = {
    "C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo", "Lt", "Lu", "M",
    "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Pe", "Pf", "Pi",
    "Po", "Ps", "S",  "Sc", "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs", "Any"};

bool IsAsciiAlnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

std::string CodePointEscape(uint32_t code_point) {
  char text[16];
  std::snprintf(text, sizeof(text), "\\x{%x}", code_point);
  return text;
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> Run() {
    if (in_.starts_with("(?i)")) Copy(4);
    while (at_ < in_.size()) GYRATOR_RETURN_IF_ERROR(Next());
    return std::move(out_);
  }

 private:
  Status Unsupported(std::string_view what) const {
    return Status::Unsupported("regex: " + std::string(what) + " at byte " + std::to_string(at_) +
                               " of \"" + std::string(in_) + "\" is not supported");
  }
  char Peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  void Copy(size_t count) {
    out_.append(in_.substr(at_, count));
    at_ = std::min(at_ + count, in_.size());
  }

  Status Next() {
    const char c = Peek();
    switch (c) {
      case '(':
        return Open();
      case ')':
        return Close();
      case '*':
      case '+':
      case '?':
        return Quantifier();
      case '{':
        return Interval();
      case '|':
      case '^':
      case '$':
        Copy(1);
        return {};
      default:
        break;
    }
    atom_ = out_.size();
    if (c == '[') return Class();
    if (c == '\\') return Escape(/*in_class=*/false);
    Copy(c == '.' ? 1 : CharacterSize());
    return {};
  }

  size_t CharacterSize() const { return ReadUtf8(in_.substr(at_)).size; }

  Status Open() {
    groups_.push_back(out_.size());
    if (Peek(1) != '?') {
      Copy(1);
      return {};
    }
    for (const std::string_view opening : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"}) {
      if (!in_.substr(at_).starts_with(opening)) continue;
      Copy(opening.size());
      return {};
    }
    return Unsupported("group " + std::string(in_.substr(at_, 4)));
  }

  Status Close() {
    if (groups_.empty()) {
      return Status::Corruption("regex: ) without ( in \"" + std::string(in_) + "\"");
    }
    atom_ = groups_.back();
    groups_.pop_back();
    Copy(1);
    return {};
  }

  // * + ? and their lazy and possessive forms mean the same in both.
  Status Quantifier() {
    Copy(1);
    if (Peek() == '?' || Peek() == '+') Copy(1);
    if (Peek() == '*' || Peek() == '+' || Peek() == '?') return Unsupported("a third quantifier");
    return {};
  }

  // {n} {n,} {n,m} {,m}. A + after it repeats the repetition, where PCRE2 would read a possessive.
  Status Interval() {
    const size_t close = in_.find('}', at_);
    std::string body(in_.substr(at_ + 1, close == std::string_view::npos ? 0 : close - at_ - 1));
    const bool numeric = !body.empty() && body != "," &&
                         std::count(body.begin(), body.end(), ',') <= 1 &&
                         std::all_of(body.begin(), body.end(),
                                     [](char c) { return c == ',' || (c >= '0' && c <= '9'); });
    if (!numeric) return Unsupported("{");
    if (body.front() == ',') body.insert(0, "0");
    at_ = close + 1;
    out_ += "{" + body + "}";
    if (Peek() == '?') return Unsupported("? after an interval");
    if (Peek() == '+') {
      out_.insert(atom_, "(?:");
      out_ += ")+";
      ++at_;
    }
    if (Peek() == '*' || Peek() == '+' || Peek() == '?' || Peek() == '{') {
      return Unsupported("a quantifier after an interval");
    }
    return {};
  }

  Status Class() {
    Copy(1);
    if (Peek() == '^') Copy(1);
    if (Peek() == ']') return Unsupported("] as the first member of a class");
    while (Peek() != ']') {
      if (at_ >= in_.size()) {
        return Status::Corruption("regex: [ without ] in \"" + std::string(in_) + "\"");
      }
      if (Peek() == '[') return Unsupported("a class within a class");
      if (Peek() == '&' && Peek(1) == '&') return Unsupported("&& in a class");
      if (Peek() == '\\') {
        GYRATOR_RETURN_IF_ERROR(Escape(/*in_class=*/true));
      } else {
        Copy(CharacterSize());
      }
    }
    Copy(1);
    return {};
  }

  Status Escape(bool in_class) {
    const char c = Peek(1);
    switch (c) {
      case 's':
        return Emit(2, R"(\p{WSpace})");
      case 'S':
        return Emit(2, R"(\P{WSpace})");
      case 'd':
        return Emit(2, R"(\p{Nd})");
      case 'D':
        return Emit(2, R"(\P{Nd})");
      case 'w':
        return Emit(2,
                    in_class ? std::string(kWordMembers) : "[" + std::string(kWordMembers) + "]");
      case 'W':
        if (in_class) return Unsupported("\\W in a class");
        return Emit(2, "[^" + std::string(kWordMembers) + "]");
      case 'p':
      case 'P':
        return Property();
      case 't':
        return Emit(2, CodePointEscape(0x09));
      case 'n':
        return Emit(2, CodePointEscape(0x0A));
      case 'v':
        return Emit(2, CodePointEscape(0x0B));
      case 'f':
        return Emit(2, CodePointEscape(0x0C));
      case 'r':
        return Emit(2, CodePointEscape(0x0D));
      case 'a':
        return Emit(2, CodePointEscape(0x07));
      case 'e':
        return Emit(2, CodePointEscape(0x1B));
      case 'x':
        return Hexadecimal();
      case 'u':
        return Digits(2, 4, 4);
      case 'A':
      case 'z':
        if (in_class) break;
        return Emit(2, in_.substr(at_, 2));
      default:
        break;
    }
    if (IsAsciiAlnum(c) || at_ + 1 >= in_.size()) {
      return Unsupported("escape \\" + std::string(1, c == '\0' ? ' ' : c));
    }
    if (static_cast<unsigned char>(c) >= 0x80) {  // an escaped character is itself
      ++at_;
      Copy(CharacterSize());
      return {};
    }
    return Emit(2, in_.substr(at_, 2));
  }

  Status Emit(size_t consumed, std::string_view text) {
    out_ += text;
    at_ += consumed;
    return {};
  }

  // \xH, \xHH, \x{H...}
  Status Hexadecimal() {
    if (Peek(2) != '{') return Digits(2, 1, 2);
    GYRATOR_RETURN_IF_ERROR(Digits(3, 1, 8));
    if (Peek() != '}') return Unsupported("\\x{ without }");
    ++at_;
    return {};
  }

  Status Digits(size_t skip, size_t count_min, size_t count_max) {
    uint32_t value = 0;
    size_t count = 0;
    while (count < count_max && std::isxdigit(static_cast<unsigned char>(Peek(skip + count)))) {
      const char c = static_cast<char>(std::tolower(Peek(skip + count)));
      value = value * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
      ++count;
    }
    if (count < count_min || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      return Unsupported("the code point");
    }
    return Emit(skip + count, CodePointEscape(value));
  }

  // \p{L}, \P{L}, \p{^L}; a script's name means the script itself, not its extensions.
  Status Property() {
    const size_t close = in_.find('}', at_);
    if (Peek(2) != '{' || close == std::string_view::npos) return Unsupported("\\p without {name}");
    std::string name(in_.substr(at_ + 3, close - at_ - 3));
    const bool caret = name.starts_with('^');
    if (caret) name.erase(0, 1);
    if (name.empty() || !std::all_of(name.begin(), name.end(),
                                     [](char c) { return IsAsciiAlnum(c) || c == '_'; })) {
      return Unsupported("property " + name);
    }
    const bool plain = name == "Alphabetic" || name == "White_Space" ||
                       std::find(kCategories.begin(), kCategories.end(), name) != kCategories.end();
    if (!plain && name.size() < 3) return Unsupported("property " + name);
    const bool negated = (Peek(1) == 'P') != caret;
    const std::string prefix = plain ? "" : "sc:";
    return Emit(close + 1 - at_, (negated ? "\\P{" : "\\p{") + prefix + name + "}");
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where the last atom begins in out_
  std::vector<size_t> groups_;  // where the open groups begin in out_
};

}  // namespace

Result<std::string> TranslateRegex(std::string_view pattern) {
  if (!IsValidUtf8(pattern)) return Status::Corruption("regex: the pattern is not UTF-8");
  return Translator(pattern).Run();
}

}  // namespace gyrator

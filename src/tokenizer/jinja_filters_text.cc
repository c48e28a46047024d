// Filters over one text or one number.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_format.h"
#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

using Arguments = std::span<const Value>;

bool IsGiven(const Value& value) { return !value.Is(Kind::kMissing) && !value.Is(Kind::kNone); }

Result<Value> Default(Runtime& runtime, const Value& self, Arguments args) {
  const bool replaces = self.Is(Kind::kUndefined) || (Truth(args[1]) && !Truth(self));
  if (!replaces) return self;
  return args[0].Is(Kind::kMissing) ? runtime.NewString("") : args[0];
}

template <std::string (*kConvert)(std::string_view)>
Result<Value> Convert(Runtime& runtime, const Value& self, Arguments /*args*/) {
  return runtime.NewString(kConvert(runtime.Str(self)));
}

// Jinja's own title(): words start behind space, '-', '(', '{', '[' and '<', not at every letter.
std::string TitleWords(std::string_view text) {
  const auto starts_word = [](char32_t c) {
    return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const size_t begin = pos;
    while (pos < text.size()) {
      size_t next = pos;
      if (!starts_word(DecodeAt(text, &next))) break;
      pos = next;
    }
    out.append(text.substr(begin, pos - begin));
    if (pos == text.size()) break;
    const size_t head = pos;
    DecodeAt(text, &pos);
    const size_t tail = pos;
    while (pos < text.size()) {
      size_t next = pos;
      if (starts_word(DecodeAt(text, &next))) break;
      pos = next;
    }
    out += Upper(text.substr(head, tail - head)) + Lower(text.substr(tail, pos - tail));
  }
  return out;
}

Result<Value> ToString(Runtime& runtime, const Value& self, Arguments /*args*/) {
  return self.Is(Kind::kString) ? self : runtime.NewString(runtime.Str(self));
}

Result<Value> Trim(Runtime& runtime, const Value& self, Arguments args) {
  const std::string text = runtime.Str(self);
  if (!IsGiven(args[0])) return runtime.NewString(std::string(Strip(text, {})));
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view chars, AsText(args[0], "chars"));
  return runtime.NewString(std::string(Strip(text, {}, chars)));
}

Result<Value> Replace(Runtime& runtime, const Value& self, Arguments args) {
  int64_t count = -1;
  if (IsGiven(args[2])) {
    GYRATOR_ASSIGN_OR_RETURN(count, AsInteger(args[2], "count"));
  }
  TextBuilder out(&runtime.budget());
  ReplaceText(runtime.Str(self), {runtime.Str(args[0]), runtime.Str(args[1]), count}, &out);
  return runtime.NewString(out.Take());
}

Result<Value> Indent(Runtime& runtime, const Value& self, Arguments args) {
  // As Jinja's `s += "\n"`, which only text survives.
  if (self.Is(Kind::kUndefined)) return EvaluationError(self.message());
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view body, AsText(self, "the value of indent"));
  std::string indention(4, ' ');
  if (args[0].Is(Kind::kString)) {
    indention = args[0].text();
  } else if (!args[0].Is(Kind::kMissing)) {
    GYRATOR_ASSIGN_OR_RETURN(const int64_t width, AsInteger(args[0], "width"));
    TextBuilder spaces(&runtime.budget());
    spaces.Fill(static_cast<size_t>(std::max<int64_t>(width, 0)), " ");
    indention = spaces.Take();
  }
  const bool first = Truth(args[1]);
  const bool blank = Truth(args[2]);
  const std::string text = std::string(body) + "\n";
  const std::vector<std::string_view> lines = SplitLines(text, /*keep_ends=*/false);
  TextBuilder out(&runtime.budget());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.Append("\n");
    if (i == 0 ? first : blank || !lines[i].empty()) out.Append(indention);
    out.Append(lines[i]);
  }
  return runtime.NewString(out.Take());
}

Result<Value> Escape(Runtime& runtime, const Value& self, Arguments /*args*/) {
  TextBuilder out(&runtime.budget());
  for (const char c : runtime.Str(self)) {
    switch (c) {
      case '&':
        out.Append("&amp;");
        break;
      case '<':
        out.Append("&lt;");
        break;
      case '>':
        out.Append("&gt;");
        break;
      case '"':
        out.Append("&#34;");
        break;
      case '\'':
        out.Append("&#39;");
        break;
      default:
        out.Append({&c, 1});
        break;
    }
  }
  return runtime.NewString(out.Take());
}

Result<Value> WordCount(Runtime& runtime, const Value& self, Arguments /*args*/) {
  const std::string text = runtime.Str(self);
  int64_t words = 0;
  bool in_word = false;
  for (size_t pos = 0; pos < text.size();) {
    const bool word = IsWord(DecodeAt(text, &pos));
    words += word && !in_word;
    in_word = word;
  }
  return Value::Int(words);
}

Result<Value> Truncate(Runtime& runtime, const Value& self, Arguments args) {
  int64_t length = 255;
  int64_t leeway = 5;
  std::string_view end = "...";
  if (IsGiven(args[0])) {
    GYRATOR_ASSIGN_OR_RETURN(length, AsInteger(args[0], "length"));
  }
  if (IsGiven(args[2])) {
    GYRATOR_ASSIGN_OR_RETURN(end, AsText(args[2], "end"));
  }
  if (IsGiven(args[3])) {
    GYRATOR_ASSIGN_OR_RETURN(leeway, AsInteger(args[3], "leeway"));
  }
  const auto end_length = static_cast<int64_t>(CountCodePoints(end));
  if (length < end_length || leeway < 0) {
    return EvaluationError("truncate: expected length >= that of end and leeway >= 0");
  }
  GYRATOR_ASSIGN_OR_RETURN(const int64_t self_length, Length(self));
  if (self_length - leeway <= length) return self;
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view text, AsText(self, "the value of truncate"));
  std::string kept(text.substr(0, ByteOffset(text, static_cast<size_t>(length - end_length))));
  if (!Truth(args[1])) kept = kept.substr(0, kept.rfind(' '));
  return runtime.NewString(kept + std::string(end));
}

Result<Value> Center(Runtime& runtime, const Value& self, Arguments args) {
  int64_t width = 80;
  if (IsGiven(args[0])) {
    GYRATOR_ASSIGN_OR_RETURN(width, AsInteger(args[0], "width"));
  }
  return runtime.NewString(CenterText(runtime.Str(self), width, " ", &runtime.budget()));
}

Result<Value> Format(Runtime& runtime, const Value& self, Arguments args) {
  const bool has_positional = !args[0].items().empty();
  const bool has_named = !args[1].dict().items.empty();
  if (has_positional && has_named) {
    return EvaluationError("can't handle positional and keyword arguments at the same time");
  }
  return PercentFormat(runtime, runtime.Str(self), has_named ? args[1] : args[0]);
}

Result<Value> ToJson(Runtime& runtime, const Value& self, Arguments args) {
  JsonStyle style;
  style.ensure_ascii = Truth(args[0]);
  style.sort_keys = Truth(args[3]);
  if (args[1].Is(Kind::kString)) {
    style.indent = args[1].text();
  } else if (IsGiven(args[1])) {
    GYRATOR_ASSIGN_OR_RETURN(const int64_t width, AsInteger(args[1], "indent"));
    TextBuilder spaces(&runtime.budget());
    spaces.Fill(static_cast<size_t>(std::max<int64_t>(width, 0)), " ");
    style.indent = spaces.Take();
  }
  if (style.indent) style.item_separator = ",";
  if (IsGiven(args[2])) {
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> separators, runtime.Items(args[2]));
    if (separators.size() != 2) return EvaluationError("separators must be a pair");
    GYRATOR_ASSIGN_OR_RETURN(const std::string_view item, AsText(separators[0], "a separator"));
    GYRATOR_ASSIGN_OR_RETURN(const std::string_view key, AsText(separators[1], "a separator"));
    style.item_separator = item;
    style.key_separator = key;
  }
  TextBuilder out(&runtime.budget());
  GYRATOR_RETURN_IF_ERROR(AppendJson(self, style, &out));
  return runtime.NewString(out.Take());
}

// Python's int(text, base): white space, sign, prefix and single underscores are allowed.
std::optional<int64_t> ParseInteger(std::string_view text, int base) {
  text = Strip(text, {});
  bool negative = false;
  if (text.starts_with('+') || text.starts_with('-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (text.size() > 2 && text[0] == '0') {
    const char kind = static_cast<char>(text[1] | 0x20);
    const int named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      text.remove_prefix(2);
      if (text.starts_with('_')) text.remove_prefix(1);
    }
  }
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_') continue;
    digits.push_back(text[i]);
  }
  if (digits.empty() || digits[0] == '-') return std::nullopt;
  if (negative) digits.insert(0, "-");
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base == 0 ? 10 : base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<double> ParseFloat(std::string_view text) {
  text = Strip(text, {});
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() &&
                         std::isdigit(static_cast<unsigned char>(text[i - 1])) != 0 &&
                         std::isdigit(static_cast<unsigned char>(text[i + 1])) != 0;
    if (text[i] == '_' && between) continue;
    digits.push_back(text[i]);
  }
  const char* begin = digits.data() + (digits.starts_with('+') ? 1 : 0);
  const char* end = digits.data() + digits.size();
  if (begin == end || (begin != digits.data() && *begin == '-')) return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (stop != end) return std::nullopt;
  return error == std::errc::result_out_of_range ? std::strtod(begin, nullptr) : value;
}

Result<Value> IntegerOf(double value) {
  if (!(std::fabs(value) < 0x1p63)) return EvaluationError("an integer does not fit in 64 bits");
  return Value::Int(static_cast<int64_t>(value));
}

Result<Value> ToInteger(Runtime& /*runtime*/, const Value& self, Arguments args) {
  if (self.Is(Kind::kUndefined)) return EvaluationError(self.message());
  if (self.IsInteger()) return Value::Int(self.integer());
  const Value otherwise = args[0].Is(Kind::kMissing) ? Value::Int(0) : args[0];
  if (self.Is(Kind::kFloat)) {
    return std::isfinite(self.number()) ? IntegerOf(self.number()) : Result<Value>(otherwise);
  }
  if (!self.Is(Kind::kString)) return otherwise;
  int64_t base = 10;
  if (IsGiven(args[1])) {
    GYRATOR_ASSIGN_OR_RETURN(base, AsInteger(args[1], "base"));
  }
  const bool possible = base == 0 || (base >= 2 && base <= 36);
  const auto whole = possible ? ParseInteger(self.text(), static_cast<int>(base)) : std::nullopt;
  if (whole) return Value::Int(*whole);
  const auto number = ParseFloat(self.text());
  if (!number || !std::isfinite(*number)) return otherwise;
  return IntegerOf(*number);
}

Result<Value> ToFloat(Runtime& /*runtime*/, const Value& self, Arguments args) {
  if (self.Is(Kind::kUndefined)) return EvaluationError(self.message());
  if (self.IsNumber()) return Value::Float(self.number());
  if (self.Is(Kind::kString)) {
    if (const auto number = ParseFloat(self.text())) return Value::Float(*number);
  }
  return args[0].Is(Kind::kMissing) ? Value::Float(0) : args[0];
}

Result<Value> Absolute(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  if (self.Is(Kind::kFloat)) return Value::Float(std::fabs(self.number()));
  if (self.IsInteger() && self.integer() != std::numeric_limits<int64_t>::min()) {
    return Value::Int(std::abs(self.integer()));
  }
  return EvaluationError(fmt::format("bad operand type for abs(): '{}'", TypeName(self)));
}

// Python's round() of a finite float to 10^tens, tens > 0: the exact value decides, a tie goes to
// the even side.
double RoundToTens(double value, int64_t tens) {
  const std::string digits = fmt::format("{:.17e}", std::fabs(value));
  int exponent = 0;  // of the first digit
  const size_t mark = digits.find('e');
  const char* from = digits.c_str() + mark + (digits[mark + 1] == '+' ? 2 : 1);
  std::from_chars(from, digits.c_str() + digits.size(), exponent);
  const int64_t kept = exponent - tens;  // digits behind the first one that stay
  if (kept >= 0) return std::strtod(fmt::format("{:.{}e}", value, kept).c_str(), nullptr);
  const double unit = std::strtod(fmt::format("1e{}", tens).c_str(), nullptr);
  // Below one unit: the only question is whether the value is more than a half.
  const bool more = kept == -1 && std::fabs(value) > unit / 2;
  return std::copysign(more ? unit : 0.0, value);
}

// round(value, digits) of Python: to the nearest decimal, ties by the exact binary value.
Result<Value> RoundFloat(double value, int64_t digits) {
  if (!std::isfinite(value) || digits > 323) return Value::Float(value);
  if (digits < -308) return Value::Float(std::copysign(0.0, value));
  const double rounded = digits >= 0
                             ? std::strtod(fmt::format("{:.{}f}", value, digits).c_str(), nullptr)
                             : RoundToTens(value, -digits);
  if (!std::isfinite(rounded)) return EvaluationError("rounded value too large to represent");
  return Value::Float(rounded);
}

// The same of an integer: to tens only, and again an integer.
Result<Value> RoundInteger(int64_t value, int64_t digits) {
  if (digits >= 0) return Value::Int(value);
  if (digits < -19) return Value::Int(0);
  constexpr int64_t kHalfOfTen19 = 5'000'000'000'000'000'000;
  int64_t rounded = 0;
  bool fits = true;
  if (digits == -19) {  // 10^19 itself has no 64 bits
    fits = value >= -kHalfOfTen19 && value <= kHalfOfTen19;
  } else {
    int64_t unit = 1;
    for (int64_t i = digits; i < 0; ++i) unit *= 10;
    int64_t units = value / unit;
    const int64_t rest = std::abs(value % unit), lacking = unit - rest;
    if (rest > lacking || (rest == lacking && units % 2 != 0)) units += value < 0 ? -1 : 1;
    fits = !__builtin_mul_overflow(units, unit, &rounded);
  }
  if (!fits) return EvaluationError("the rounded integer does not fit in 64 bits");
  return Value::Int(rounded);
}

// round(value) of Python, without digits: an integer.
Result<Value> RoundToInteger(const Value& self) {
  if (self.IsInteger()) return Value::Int(self.integer());
  const double whole = std::nearbyint(self.number());
  if (!(std::fabs(whole) < 9.2e18)) return EvaluationError("the number does not fit in 64 bits");
  return Value::Int(static_cast<int64_t>(whole));
}

// math.ceil or math.floor of value * 10^precision, over 10^precision. The function gives an integer
// in Python, and an integer has no minus zero.
Result<Value> RoundOneWay(const Value& self, int64_t precision, bool up) {
  if (self.IsInteger() && precision >= 0) return Value::Float(self.number());
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = self.number() * scale;
  if (!std::isfinite(scaled)) return EvaluationError("cannot convert float to integer");
  if (scale == 0) return EvaluationError("division by zero");
  const double whole = (up ? std::ceil(scaled) : std::floor(scaled)) + 0.0;
  if (precision <= 0) return Value::Float(whole / scale);
  // The quotient of two integers, rounded once; 10^precision alone need not be a double.
  return Value::Float(std::strtod(fmt::format("{:.0f}e-{}", whole, precision).c_str(), nullptr));
}

Result<Value> Round(Runtime& /*runtime*/, const Value& self, Arguments args) {
  int64_t precision = 0;
  if (IsGiven(args[0])) {
    GYRATOR_ASSIGN_OR_RETURN(precision, AsInteger(args[0], "precision"));
  }
  std::string_view method = "common";
  if (!args[1].Is(Kind::kMissing)) {
    GYRATOR_ASSIGN_OR_RETURN(method, AsText(args[1], "method"));
  }
  if (method != "common" && method != "ceil" && method != "floor") {
    return EvaluationError("method must be common, ceil or floor");
  }
  if (self.Is(Kind::kUndefined)) return EvaluationError(self.message());
  if (!self.IsNumber()) {
    return EvaluationError(fmt::format("type {} doesn't define __round__ method", TypeName(self)));
  }
  if (method == "common" && args[0].Is(Kind::kNone)) return RoundToInteger(self);
  if (method != "common") return RoundOneWay(self, precision, method == "ceil");
  if (self.IsInteger()) return RoundInteger(self.integer(), precision);
  return RoundFloat(self.number(), precision);
}

constexpr auto kFilters = std::to_array<Builtin>({
    {"abs", "", Absolute},
    {"capitalize", "", Convert<Capitalize>},
    {"center", "width=", Center},
    {"d", "default_value=, boolean=", Default},
    {"default", "default_value=, boolean=", Default},
    {"e", "", Escape},
    {"escape", "", Escape},
    {"float", "default=", ToFloat},
    {"forceescape", "", Escape},
    {"format", "**", Format},
    {"indent", "width=, first=, blank=", Indent},
    {"int", "default=, base=", ToInteger},
    {"lower", "", Convert<Lower>},
    {"replace", "old, new, count=", Replace},
    {"round", "precision=, method=", Round},
    {"safe", "", ToString},
    {"string", "", ToString},
    {"title", "", Convert<TitleWords>},
    {"tojson", "ensure_ascii=, indent=, separators=, sort_keys=", ToJson},
    {"trim", "chars=", Trim},
    {"truncate", "length=, killwords=, end=, leeway=", Truncate},
    {"upper", "", Convert<Upper>},
    {"wordcount", "", WordCount},
});

}  // namespace

std::span<const Builtin> TextFilters() { return kFilters; }

const Builtin* FindFilter(std::string_view name) {
  for (const auto filters : {TextFilters(), SequenceFilters()}) {
    for (const Builtin& filter : filters) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace gyrator::jinja

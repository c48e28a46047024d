#include "tokenizer/jinja_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

constexpr int kWidthMax = 1'000'000;
constexpr int kPrecisionMax = 300;

// What both languages say about one field.
struct Spec {
  std::string fill = " ";
  char align = '\0';  // '<', '>', '^', '=' (fill behind the sign)
  char sign = '-';    // '-', '+', ' '
  bool alternate = false;
  bool thousands = false;
  int width = 0;
  int precision = -1;
  char type = '\0';
};

Result<int> ReadNumber(std::string_view text, size_t* pos, int most, int otherwise) {
  int value = otherwise;
  const char* begin = text.data() + *pos;
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  if (end == begin) return otherwise;
  *pos += static_cast<size_t>(end - begin);
  if (error != std::errc() || value < 0 || value > most) {
    return EvaluationError(fmt::format("a number in a format is larger than {}", most));
  }
  return value;
}

std::string Pad(const std::string& sign, const std::string& body, const Spec& spec, char align) {
  const size_t length = CountCodePoints(sign) + CountCodePoints(body);
  const auto width = static_cast<size_t>(spec.width);
  const size_t missing = width > length ? width - length : 0;
  const size_t left = align == '>' || align == '=' ? missing : align == '^' ? missing / 2 : 0;
  std::string before, after;
  for (size_t i = 0; i < left; ++i) before += spec.fill;
  for (size_t i = left; i < missing; ++i) after += spec.fill;
  return align == '=' ? sign + before + body + after : before + sign + body + after;
}

std::string SignOf(bool negative, const Spec& spec) {
  if (negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string GroupThousands(const std::string& body) {
  const size_t whole = std::min(body.find_first_not_of("0123456789"), body.size());
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % 3 == 0) out.push_back(',');
    out.push_back(body[i]);
  }
  return out + body.substr(whole);
}

std::string FormatInteger(int64_t value, const Spec& spec, int min_digits) {
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string body, prefix;
  switch (spec.type) {
    case 'x':
      body = fmt::format("{:x}", magnitude), prefix = "0x";
      break;
    case 'X':
      body = fmt::format("{:X}", magnitude), prefix = "0X";
      break;
    case 'o':
      body = fmt::format("{:o}", magnitude), prefix = "0o";
      break;
    case 'b':
      body = fmt::format("{:b}", magnitude), prefix = "0b";
      break;
    default:
      body = std::to_string(magnitude);
      break;
  }
  if (static_cast<int>(body.size()) < min_digits) {
    body.insert(0, static_cast<size_t>(min_digits) - body.size(), '0');
  }
  if (spec.thousands) body = GroupThousands(body);
  const std::string sign = SignOf(value < 0, spec) + (spec.alternate ? prefix : "");
  return Pad(sign, body, spec, spec.align == '\0' ? '>' : spec.align);
}

std::string FormatNumber(double value, const Spec& spec) {
  const bool negative = std::signbit(value) && !std::isnan(value);
  const double magnitude = std::fabs(value);
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  std::string body;
  if (!std::isfinite(value)) {
    body = std::isnan(value) ? "nan" : "inf";
  } else {
    switch (spec.type) {
      case 'e':
        body = fmt::format("{:.{}e}", magnitude, precision);
        break;
      case 'E':
        body = fmt::format("{:.{}E}", magnitude, precision);
        break;
      case 'g':
        body = fmt::format("{:.{}g}", magnitude, std::max(precision, 1));
        break;
      case 'G':
        body = fmt::format("{:.{}G}", magnitude, std::max(precision, 1));
        break;
      case '%':
        body = fmt::format("{:.{}f}%", magnitude * 100, precision);
        break;
      case '\0':
        body = FormatFloat(magnitude);
        break;
      default:
        body = fmt::format("{:.{}f}", magnitude, precision);
        break;
    }
  }
  if (spec.thousands) body = GroupThousands(body);
  return Pad(SignOf(negative, spec), body, spec, spec.align == '\0' ? '>' : spec.align);
}

std::string FormatText(std::string_view text, const Spec& spec, char align) {
  if (spec.precision >= 0)
    text = text.substr(0, ByteOffset(text, static_cast<size_t>(spec.precision)));
  return Pad("", std::string(text), spec, align);
}

// "%...": one format string over a tuple, a dict or one value.
class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, std::string_view format, const Value& values)
      : runtime_(runtime), format_(format), values_(values), out_(&runtime.budget()) {}

  Result<Value> Run() {
    while (pos_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', pos_), format_.size());
      out_.Append(format_.substr(pos_, percent - pos_));
      pos_ = percent;
      if (pos_ < format_.size()) GYRATOR_RETURN_IF_ERROR(Field());
    }
    // What can be indexed may be there for %(name)s alone.
    const bool is_mapping = values_.Is(Kind::kDict) || values_.Is(Kind::kList) ||
                            values_.Is(Kind::kRange) || values_.Is(Kind::kUndefined);
    const bool all_used =
        values_.Is(Kind::kTuple) ? used_ == values_.items().size() : used_ == 1 || is_mapping;
    if (!all_used) {
      return EvaluationError("not all arguments converted during string formatting");
    }
    return runtime_.NewString(out_.Take());
  }

 private:
  Result<Value> Next() {
    if (!values_.Is(Kind::kTuple)) {
      if (used_++ == 0) return values_;
    } else if (used_ < values_.items().size()) {
      return values_.items()[used_++];
    }
    return EvaluationError("not enough arguments for format string");
  }

  Result<Value> Argument() {
    if (pos_ >= format_.size() || format_[pos_] != '(') return Value();
    const size_t close = format_.find(')', pos_);
    if (close == std::string_view::npos) return EvaluationError("incomplete format key");
    if (!values_.Is(Kind::kDict)) return EvaluationError("format requires a mapping");
    const std::string_view key = format_.substr(pos_ + 1, close - pos_ - 1);
    pos_ = close + 1;
    const Value* value = values_.dict().Find(key);
    if (value == nullptr) return EvaluationError("key error in a format: " + Quote(key));
    return *value;
  }

  Result<int> Number(int most, int otherwise) {
    if (pos_ >= format_.size() || format_[pos_] != '*') {
      return ReadNumber(format_, &pos_, most, otherwise);
    }
    ++pos_;
    GYRATOR_ASSIGN_OR_RETURN(const Value value, Next());
    GYRATOR_ASSIGN_OR_RETURN(const int64_t number, AsInteger(value, "* in a format"));
    if (number < 0 || number > most) return EvaluationError("* in a format is out of range");
    return static_cast<int>(number);
  }

  Status Flags(Spec* spec) {
    constexpr std::string_view kFlags = "-+ #0";
    for (; pos_ < format_.size() && kFlags.find(format_[pos_]) != std::string_view::npos; ++pos_) {
      switch (format_[pos_]) {
        case '-':
          spec->align = '<';
          break;
        case '+':
          spec->sign = '+';
          break;
        case ' ':
          spec->sign = spec->sign == '+' ? '+' : ' ';
          break;
        case '#':
          spec->alternate = true;
          break;
        default:
          zero_ = true;
          break;
      }
    }
    GYRATOR_ASSIGN_OR_RETURN(spec->width, Number(kWidthMax, 0));
    if (pos_ < format_.size() && format_[pos_] == '.') {
      ++pos_;
      GYRATOR_ASSIGN_OR_RETURN(spec->precision, Number(kPrecisionMax, 0));
    }
    return {};
  }

  Status Field() {
    ++pos_;
    zero_ = false;
    GYRATOR_ASSIGN_OR_RETURN(Value value, Argument());
    Spec spec;
    GYRATOR_RETURN_IF_ERROR(Flags(&spec));
    while (pos_ < format_.size() &&
           std::string_view("hlL").find(format_[pos_]) != std::string_view::npos) {
      ++pos_;
    }
    if (pos_ >= format_.size()) return EvaluationError("incomplete format");
    spec.type = format_[pos_++];
    if (spec.type == '%') {
      out_.Append("%");
      return {};
    }
    if (value.Is(Kind::kMissing)) {
      GYRATOR_ASSIGN_OR_RETURN(value, Next());
    }
    return Convert(value, spec);
  }

  Status Convert(const Value& value, Spec spec) {
    const char align = spec.align == '<' ? '<' : '>';
    switch (spec.type) {
      case 's':
        out_.Append(FormatText(runtime_.Str(value), spec, align));
        return {};
      case 'r':
        out_.Append(FormatText(Repr(value, &runtime_.budget()), spec, align));
        return {};
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return ConvertInteger(value, spec);
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G': {
        if (!value.IsNumber()) {
          return EvaluationError(fmt::format("must be real number, not {}", TypeName(value)));
        }
        UseZeros(&spec);
        out_.Append(FormatNumber(value.number(), spec));
        return {};
      }
      default:
        return Status::Unsupported(
            fmt::format("format character '{}' is not supported", spec.type));
    }
  }

  Status ConvertInteger(const Value& value, Spec spec) {
    const bool whole = value.Is(Kind::kFloat) && std::fabs(value.number()) < 0x1p63 &&
                       (spec.type == 'd' || spec.type == 'i' || spec.type == 'u');
    if (!value.IsInteger() && !whole) {
      return EvaluationError(
          fmt::format("%{} format: a number is required, not {}", spec.type, TypeName(value)));
    }
    UseZeros(&spec);
    out_.Append(FormatInteger(whole ? static_cast<int64_t>(value.number()) : value.integer(), spec,
                              spec.precision));
    return {};
  }

  void UseZeros(Spec* spec) const {
    if (!zero_ || spec->align == '<') return;
    spec->fill = "0";
    spec->align = '=';
  }

  Runtime& runtime_;
  std::string_view format_;
  const Value& values_;
  TextBuilder out_;
  size_t pos_ = 0;
  size_t used_ = 0;
  bool zero_ = false;
};

// "{...}": one format string over positional and named arguments.
class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, const std::vector<Value>& positional, const DictObject& named)
      : runtime_(runtime), positional_(positional), named_(named), out_(&runtime.budget()) {}

  Result<Value> Run(std::string_view format) {
    for (size_t pos = 0; pos < format.size();) {
      const size_t brace = std::min(format.find_first_of("{}", pos), format.size());
      out_.Append(format.substr(pos, brace - pos));
      if (brace == format.size()) break;
      if (brace + 1 < format.size() && format[brace + 1] == format[brace]) {
        out_.Append(format.substr(brace, 1));
        pos = brace + 2;
        continue;
      }
      const size_t close = format.find('}', brace);
      if (format[brace] == '}' || close == std::string_view::npos) {
        return EvaluationError("single brace encountered in format string");
      }
      GYRATOR_RETURN_IF_ERROR(Field(format.substr(brace + 1, close - brace - 1)));
      pos = close + 1;
    }
    return runtime_.NewString(out_.Take());
  }

 private:
  Result<Value> First(std::string_view name) {
    int idx = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), idx);
    const bool numbered = error == std::errc() && end == name.data() + name.size();
    if (name.empty()) idx = next_++;
    if (!name.empty() && !numbered) {
      if (const Value* value = named_.Find(name)) return *value;
      return EvaluationError("key error in a format: " + Quote(name));
    }
    if (idx < 0 || static_cast<size_t>(idx) >= positional_.size()) {
      return EvaluationError("replacement index out of range for positional args tuple");
    }
    return positional_[static_cast<size_t>(idx)];
  }

  // "name.attribute[item]".
  Result<Value> Lookup(std::string_view path) {
    const size_t head = std::min(path.find_first_of(".["), path.size());
    GYRATOR_ASSIGN_OR_RETURN(Value value, First(path.substr(0, head)));
    path.remove_prefix(head);
    while (!path.empty()) {
      const bool item = path[0] == '[';
      const size_t end = item ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
      if (end == std::string_view::npos) return EvaluationError("missing ']' in format string");
      const std::string_view name = path.substr(1, end - 1);
      path.remove_prefix(end + item);
      int64_t idx = 0;
      const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), idx);
      const bool numbered = item && error == std::errc() && stop == name.data() + name.size();
      const Value key = numbered ? Value::Int(idx) : runtime_.NewString(std::string(name));
      GYRATOR_ASSIGN_OR_RETURN(
          value, item ? runtime_.GetItem(value, key) : runtime_.GetAttribute(value, name));
    }
    return value;
  }

  Status Field(std::string_view field) {
    const size_t colon = std::min(field.find(':'), field.size());
    std::string_view path = field.substr(0, colon);
    const std::string_view spec = field.substr(std::min(colon + 1, field.size()));
    if (field.find('{') != std::string_view::npos) {
      return Status::Unsupported("fields inside a format spec are not supported");
    }
    char conversion = '\0';
    if (path.size() >= 2 && path[path.size() - 2] == '!') {
      conversion = path.back();
      path.remove_suffix(2);
    }
    GYRATOR_ASSIGN_OR_RETURN(Value value, Lookup(path));
    if (conversion == 'r')
      value = runtime_.NewString(Repr(value, &runtime_.budget()));
    else if (conversion == 's')
      value = runtime_.NewString(runtime_.Str(value));
    else if (conversion != '\0')
      return Status::Unsupported("only !s and !r are supported");
    return Append(value, spec);
  }

  static Result<Spec> ParseSpec(std::string_view text) {
    Spec spec;
    size_t pos = 0;
    const size_t first = text.empty() ? 0 : ByteOffset(text, 1);
    constexpr std::string_view kAligns = "<>=^";
    if (first < text.size() && kAligns.find(text[first]) != std::string_view::npos) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      pos = first + 1;
    } else if (!text.empty() && kAligns.find(text[0]) != std::string_view::npos) {
      spec.align = text[pos++];
    }
    const auto at = [&](char c) { return pos < text.size() && text[pos] == c; };
    if (at('+') || at('-') || at(' ')) spec.sign = text[pos++];
    if (at('#')) spec.alternate = true, ++pos;
    if (at('0')) {
      ++pos;
      if (spec.align == '\0') spec.fill = "0", spec.align = '=';
    }
    GYRATOR_ASSIGN_OR_RETURN(spec.width, ReadNumber(text, &pos, kWidthMax, 0));
    if (at(',')) spec.thousands = true, ++pos;
    if (at('.')) {
      ++pos;
      GYRATOR_ASSIGN_OR_RETURN(spec.precision, ReadNumber(text, &pos, kPrecisionMax, -1));
      if (spec.precision < 0) return EvaluationError("format specifier missing precision");
    }
    if (pos < text.size()) spec.type = text[pos++];
    if (pos < text.size()) return EvaluationError("invalid format specifier " + Quote(text));
    return spec;
  }

  Status Append(const Value& value, std::string_view spec_text) {
    if (spec_text.empty()) {
      AppendStr(value, &out_);
      return {};
    }
    GYRATOR_ASSIGN_OR_RETURN(const Spec spec, ParseSpec(spec_text));
    constexpr std::string_view kIntegerTypes{"dxXob\0", 6};
    constexpr std::string_view kFloatTypes{"fFeEgG%\0", 8};
    if (value.Is(Kind::kString) && (spec.type == 's' || spec.type == '\0')) {
      out_.Append(FormatText(value.text(), spec, spec.align == '\0' ? '<' : spec.align));
    } else if (value.IsInteger() && kIntegerTypes.find(spec.type) != std::string_view::npos) {
      out_.Append(FormatInteger(value.integer(), spec, 0));
    } else if (value.IsNumber() && kFloatTypes.find(spec.type) != std::string_view::npos) {
      if (spec.type == '\0' && spec.precision >= 0) {
        return Status::Unsupported("a precision without a type is not supported");
      }
      out_.Append(FormatNumber(value.number(), spec));
    } else {
      return EvaluationError(
          fmt::format("format spec {} does not fit '{}'", Quote(spec_text), TypeName(value)));
    }
    return {};
  }

  Runtime& runtime_;
  const std::vector<Value>& positional_;
  const DictObject& named_;
  TextBuilder out_;
  int next_ = 0;
};

}  // namespace

Result<Value> PercentFormat(Runtime& runtime, std::string_view format, const Value& values) {
  return PercentFormatter(runtime, format, values).Run();
}

Result<Value> BraceFormat(Runtime& runtime, std::string_view format,
                          const std::vector<Value>& positional, const DictObject& named) {
  return BraceFormatter(runtime, positional, named).Run(format);
}

}  // namespace gyrator::jinja

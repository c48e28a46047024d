#include "tokenizer/jinja_print.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

// Namespaces are the only values that can hold themselves.
constexpr int kReprDepthMax = 2 * kValueDepthMax;

void AppendQuoted(std::string_view text, TextBuilder* out) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out->Append({&quote, 1});
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const char32_t c = DecodeAt(text, &pos);
    const auto code = static_cast<uint32_t>(c);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      const char escaped[] = {'\\', static_cast<char>(c)};
      out->Append({escaped, 2});
    } else if (c == '\n') {
      out->Append("\\n");
    } else if (c == '\r') {
      out->Append("\\r");
    } else if (c == '\t') {
      out->Append("\\t");
    } else if (IsPrintable(c)) {
      out->Append(text.substr(start, pos - start));
    } else if (c < 0x100) {
      out->Append(fmt::format("\\x{:02x}", code));
    } else {
      out->Append(c < 0x10000 ? fmt::format("\\u{:04x}", code) : fmt::format("\\U{:08x}", code));
    }
  }
  out->Append({&quote, 1});
}

void AppendReprAt(const Value& value, int depth, TextBuilder* out);

void AppendItems(const std::vector<Value>& items, int depth, TextBuilder* out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out->Append(", ");
    AppendReprAt(items[i], depth, out);
  }
}

void AppendPairs(const DictObject& dict, int depth, TextBuilder* out) {
  out->Append("{");
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out->Append(", ");
    AppendReprAt(dict.items[i].first, depth, out);
    out->Append(": ");
    AppendReprAt(dict.items[i].second, depth, out);
  }
  out->Append("}");
}

void AppendView(const ViewObject& view, int depth, TextBuilder* out) {
  const bool keys = view.which == ViewObject::Which::kKeys;
  const bool pairs = view.which == ViewObject::Which::kItems;
  out->Append(keys ? "dict_keys([" : pairs ? "dict_items([" : "dict_values([");
  const auto& items = view.dict.dict().items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out->Append(", ");
    if (pairs) out->Append("(");
    if (keys || pairs) AppendReprAt(items[i].first, depth, out);
    if (pairs) out->Append(", ");
    if (!keys) AppendReprAt(items[i].second, depth, out);
    if (pairs) out->Append(")");
  }
  out->Append("])");
}

void AppendRange(const RangeObject& range, TextBuilder* out) {
  out->Append(fmt::format("range({}, {}", range.start, range.stop));
  if (range.step != 1) out->Append(fmt::format(", {}", range.step));
  out->Append(")");
}

void AppendReprAt(const Value& value, int depth, TextBuilder* out) {
  if (!out->budget()->Step()) return;
  if (depth > kReprDepthMax) return out->budget()->Exhaust("a value that holds itself is printed");
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return out->Append("Undefined");
    case Kind::kNone:
      return out->Append("None");
    case Kind::kBool:
      return out->Append(value.integer() != 0 ? "True" : "False");
    case Kind::kInt:
      return out->Append(std::to_string(value.integer()));
    case Kind::kFloat:
      return out->Append(FormatFloat(value.number()));
    case Kind::kString:
      return AppendQuoted(value.text(), out);
    case Kind::kList:
    case Kind::kTuple: {
      const bool list = value.Is(Kind::kList);
      out->Append(list ? "[" : "(");
      AppendItems(value.items(), depth + 1, out);
      return out->Append(list ? "]" : value.items().size() == 1 ? ",)" : ")");
    }
    case Kind::kDict:
      return AppendPairs(value.dict(), depth + 1, out);
    case Kind::kView:
      return AppendView(value.view(), depth + 1, out);
    case Kind::kRange:
      return AppendRange(value.range(), out);
    case Kind::kNamespace:
      out->Append("<Namespace ");
      AppendPairs(value.As<Namespace>().attributes, depth + 1, out);
      return out->Append(">");
    default:
      return out->Append(fmt::format("<{}>", TypeName(value)));
  }
}

void AppendJsonString(std::string_view text, bool ensure_ascii, TextBuilder* out) {
  out->Append("\"");
  for (size_t pos = 0; pos < text.size();) {
    const size_t start = pos;
    const auto c = static_cast<uint32_t>(DecodeAt(text, &pos));
    if (c == '"')
      out->Append("\\\"");
    else if (c == '\\')
      out->Append("\\\\");
    else if (c == '\n')
      out->Append("\\n");
    else if (c == '\r')
      out->Append("\\r");
    else if (c == '\t')
      out->Append("\\t");
    else if (c == '\f')
      out->Append("\\f");
    else if (c == '\b')
      out->Append("\\b");
    else if (c < 0x20 || (ensure_ascii && c > 0x7E && c < 0x10000)) {
      out->Append(fmt::format("\\u{:04x}", c));
    } else if (ensure_ascii && c >= 0x10000) {
      const uint32_t rest = c - 0x10000;
      out->Append(
          fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF)));
    } else {
      out->Append(text.substr(start, pos - start));
    }
  }
  out->Append("\"");
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, TextBuilder* out) : style_(style), out_(out) {}

  Status Write(const Value& value) {
    if (!out_->budget()->Step()) return out_->budget()->status();
    switch (value.kind()) {
      case Kind::kNone:
        out_->Append("null");
        return {};
      case Kind::kBool:
        out_->Append(value.integer() != 0 ? "true" : "false");
        return {};
      case Kind::kInt:
        out_->Append(std::to_string(value.integer()));
        return {};
      case Kind::kFloat:
        out_->Append(Number(value.number()));
        return {};
      case Kind::kString:
        AppendJsonString(value.text(), style_.ensure_ascii, out_);
        return {};
      case Kind::kList:
      case Kind::kTuple:
        return WriteArray(value.items());
      case Kind::kDict:
        return WriteObject(value.dict());
      default:
        return EvaluationError(
            fmt::format("Object of type {} is not JSON serializable", TypeName(value)));
    }
  }

 private:
  static std::string Number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return FormatFloat(value);
  }

  void Break() {
    if (!style_.indent) return;
    out_->Append("\n");
    out_->Fill(level_, *style_.indent);
  }

  Status WriteArray(const std::vector<Value>& items) {
    if (items.empty()) {
      out_->Append("[]");
      return {};
    }
    out_->Append("[");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_->Append(style_.item_separator);
      Break();
      GYRATOR_RETURN_IF_ERROR(Write(items[i]));
    }
    --level_;
    Break();
    out_->Append("]");
    return {};
  }

  Status WriteKey(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        AppendJsonString(key.text(), style_.ensure_ascii, out_);
        return {};
      case Kind::kNone:
      case Kind::kBool:
      case Kind::kInt:
      case Kind::kFloat: {
        out_->Append("\"");
        GYRATOR_RETURN_IF_ERROR(Write(key));
        out_->Append("\"");
        return {};
      }
      default:
        return EvaluationError(
            fmt::format("keys must be str, int, float, bool or None, not {}", TypeName(key)));
    }
  }

  Status WriteObject(const DictObject& dict) {
    if (dict.items.empty()) {
      out_->Append("{}");
      return {};
    }
    std::vector<const std::pair<Value, Value>*> order;
    order.reserve(dict.items.size());
    for (const auto& item : dict.items) order.push_back(&item);
    if (style_.sort_keys) GYRATOR_RETURN_IF_ERROR(Sort(&order));
    out_->Append("{");
    ++level_;
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0) out_->Append(style_.item_separator);
      Break();
      GYRATOR_RETURN_IF_ERROR(WriteKey(order[i]->first));
      out_->Append(style_.key_separator);
      GYRATOR_RETURN_IF_ERROR(Write(order[i]->second));
    }
    --level_;
    Break();
    out_->Append("}");
    return {};
  }

  Status Sort(std::vector<const std::pair<Value, Value>*>* order) {
    Status failure;
    std::stable_sort(order->begin(), order->end(), [&](const auto* a, const auto* b) {
      if (!failure.ok()) return false;
      Result<bool> less = Compare(Order::kLess, a->first, b->first, out_->budget());
      if (!less.ok()) failure = less.status();
      return less.ok() && *less;
    });
    return failure;
  }

  const JsonStyle& style_;
  TextBuilder* out_;
  size_t level_ = 0;
};

}  // namespace

void TextBuilder::Fill(size_t count, std::string_view text) {
  if (text.empty() || count == 0) return;
  if (count > SIZE_MAX / text.size() || !budget_->Bytes(count * text.size())) {
    return budget_->Exhaust("too much text and data");
  }
  for (size_t i = 0; i < count; ++i) text_.append(text);
}

std::string FormatFloat(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = text.find('e');
  const bool negative = text[0] == '-';
  std::string digits;  // without sign and point
  for (const char c : text.substr(negative, e - negative)) {
    if (c != '.') digits.push_back(c);
  }
  int exponent = 0;
  const size_t exponent_at = e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(text.data() + exponent_at, text.data() + text.size(), exponent);
  std::string out = negative ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

void AppendStr(const Value& value, TextBuilder* out) {
  if (value.Is(Kind::kString)) return out->Append(value.text());
  if (!value.Is(Kind::kUndefined)) AppendReprAt(value, 0, out);
}

void AppendRepr(const Value& value, TextBuilder* out) { AppendReprAt(value, 0, out); }

std::string Str(const Value& value, Budget* budget) {
  TextBuilder out(budget);
  AppendStr(value, &out);
  return out.Take();
}

std::string Repr(const Value& value, Budget* budget) {
  TextBuilder out(budget);
  AppendRepr(value, &out);
  return out.Take();
}

std::string Quote(std::string_view text) {
  constexpr size_t kShown = 120;
  Budget budget{Limits{}};
  TextBuilder out(&budget);
  AppendQuoted(text.size() <= kShown ? text : text.substr(0, ByteOffset(text, kShown / 4)), &out);
  return out.Take();
}

Status AppendJson(const Value& value, const JsonStyle& style, TextBuilder* out) {
  return JsonWriter(style, out).Write(value);
}

}  // namespace gyrator::jinja

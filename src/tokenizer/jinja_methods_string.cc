// The methods of str.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tokenizer/jinja_filters.h"
#include "tokenizer/jinja_format.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

using Arguments = std::span<const Value>;

bool IsGiven(const Value& value) { return !value.Is(Kind::kMissing) && !value.Is(Kind::kNone); }

template <std::string (*kConvert)(std::string_view)>
Result<Value> Convert(Runtime& runtime, const Value& self, Arguments /*args*/) {
  return runtime.NewString(kConvert(self.text()));
}

template <TextClass kClass>
Result<Value> Is(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  return Value::Bool(HasClass(self.text(), kClass));
}

template <bool kLeft, bool kRight>
Result<Value> StripText(Runtime& runtime, const Value& self, Arguments args) {
  constexpr StripSides kSides{kLeft, kRight};
  if (!IsGiven(args[0])) return runtime.NewString(std::string(Strip(self.text(), kSides)));
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view chars, AsText(args[0], "strip arg"));
  return runtime.NewString(std::string(Strip(self.text(), kSides, chars)));
}

Result<Value> Replace(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view old, AsText(args[0], "replace() argument 1"));
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view with, AsText(args[1], "replace() argument 2"));
  int64_t count = -1;
  if (!args[2].Is(Kind::kMissing)) {
    GYRATOR_ASSIGN_OR_RETURN(count, AsInteger(args[2], "count"));
  }
  TextBuilder out(&runtime.budget());
  ReplaceText(self.text(), {std::string(old), std::string(with), count}, &out);
  return runtime.NewString(out.Take());
}

// The part of a text that find(sub, start, end) and its siblings look at.
struct Window {
  std::string_view text;
  int64_t start = 0;  // code points before it
  bool in_range =
      true;  // false where start lies behind the end: then nothing is found, not even ""
};

Result<Window> WindowOf(const Value& self, const Value& start_value, const Value& end_value) {
  const auto length = static_cast<int64_t>(self.string().length);
  int64_t start = 0;
  int64_t end = length;
  if (IsGiven(start_value)) {
    GYRATOR_ASSIGN_OR_RETURN(start, AsInteger(start_value, "start"));
  }
  if (IsGiven(end_value)) {
    GYRATOR_ASSIGN_OR_RETURN(end, AsInteger(end_value, "end"));
  }
  if (start < 0) start = std::max<int64_t>(start + length, 0);
  if (end < 0) end = std::max<int64_t>(end + length, 0);
  end = std::min(end, length);
  if (start > end) return Window{"", start, false};
  const std::string_view text = self.text();
  const size_t begin_byte = ByteOffset(text, static_cast<size_t>(start));
  const std::string_view rest = text.substr(begin_byte);
  return Window{rest.substr(0, ByteOffset(rest, static_cast<size_t>(end - start))), start, true};
}

template <bool kFromEnd>
Result<int64_t> Position(const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view sub, AsText(args[0], "the text to find"));
  GYRATOR_ASSIGN_OR_RETURN(const Window window, WindowOf(self, args[1], args[2]));
  const size_t at = kFromEnd ? window.text.rfind(sub) : window.text.find(sub);
  if (!window.in_range || at == std::string_view::npos) return -1;
  return window.start + static_cast<int64_t>(CountCodePoints(window.text.substr(0, at)));
}

template <bool kFromEnd>
Result<Value> Find(Runtime& /*runtime*/, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const int64_t at, Position<kFromEnd>(self, args));
  return Value::Int(at);
}

template <bool kFromEnd>
Result<Value> Index(Runtime& /*runtime*/, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const int64_t at, Position<kFromEnd>(self, args));
  if (at < 0) return EvaluationError("substring not found");
  return Value::Int(at);
}

Result<Value> Count(Runtime& /*runtime*/, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view sub, AsText(args[0], "the text to count"));
  GYRATOR_ASSIGN_OR_RETURN(const Window window, WindowOf(self, args[1], args[2]));
  if (!window.in_range) return Value::Int(0);
  if (sub.empty()) return Value::Int(static_cast<int64_t>(CountCodePoints(window.text)) + 1);
  int64_t count = 0;
  for (size_t at = window.text.find(sub); at != std::string_view::npos;
       at = window.text.find(sub, at + sub.size())) {
    ++count;
  }
  return Value::Int(count);
}

template <bool kAtEnd>
Result<Value> HasAffix(Runtime& /*runtime*/, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const Window window, WindowOf(self, args[1], args[2]));
  const std::vector<Value> one = {args[0]};
  for (const Value& value : args[0].Is(Kind::kTuple) ? args[0].items() : one) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string_view affix, AsText(value, "the prefix or suffix"));
    const bool fits = kAtEnd ? window.text.ends_with(affix) : window.text.starts_with(affix);
    if (fits && window.in_range) return Value::Bool(true);
  }
  return Value::Bool(false);
}

template <bool kAtEnd>
Result<Value> RemoveAffix(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view affix, AsText(args[0], "the prefix or suffix"));
  std::string_view text = self.text();
  if (kAtEnd && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!kAtEnd && text.starts_with(affix)) text.remove_prefix(affix.size());
  return runtime.NewString(std::string(text));
}

std::vector<std::string_view> SplitSpace(std::string_view text, int64_t most) {
  std::vector<std::string_view> parts;
  text = Strip(text, {.left = true, .right = false});
  while (!text.empty()) {
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size()) {
      size_t next = end;
      if (IsSpace(DecodeAt(text, &next))) break;
      end = next;
    }
    parts.push_back(text.substr(0, end));
    text = Strip(text.substr(end), {.left = true, .right = false});
  }
  return parts;
}

std::vector<std::string_view> SplitSpaceFromEnd(std::string_view text, int64_t most) {
  std::vector<std::string_view> parts;
  text = Strip(text, {.left = false, .right = true});
  while (!text.empty()) {
    if (most >= 0 && static_cast<int64_t>(parts.size()) == most) {
      parts.push_back(text);
      break;
    }
    size_t word = 0;  // behind the last white space
    for (size_t pos = 0; pos < text.size();) {
      if (IsSpace(DecodeAt(text, &pos))) word = pos;
    }
    parts.push_back(text.substr(word));
    text = Strip(text.substr(0, word), {.left = false, .right = true});
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitAt(std::string_view text, std::string_view separator,
                                      int64_t most) {
  std::vector<std::string_view> parts;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    const size_t at = text.find(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> SplitAtFromEnd(std::string_view text, std::string_view separator,
                                             int64_t most) {
  std::vector<std::string_view> parts;
  while (most < 0 || static_cast<int64_t>(parts.size()) < most) {
    const size_t at = text.rfind(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(at + separator.size()));
    text = text.substr(0, at);
  }
  parts.push_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Result<Value> ListOf(Runtime& runtime, const std::vector<std::string_view>& parts) {
  if (!runtime.budget().Step(parts.size())) return runtime.budget().status();
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.push_back(runtime.NewString(std::string(part)));
  return runtime.NewList(std::move(items));
}

template <bool kFromEnd>
Result<Value> Split(Runtime& runtime, const Value& self, Arguments args) {
  const std::string_view text = self.text();
  int64_t most = -1;
  if (!args[1].Is(Kind::kMissing)) {
    GYRATOR_ASSIGN_OR_RETURN(most, AsInteger(args[1], "maxsplit"));
  }
  // From the end every word is looked for anew.
  const uint64_t passes = kFromEnd && !IsGiven(args[0]) ? text.size() / 64 + 1 : 1;
  if (!runtime.budget().Step(passes * (text.size() / 64 + 1))) return runtime.budget().status();
  if (!IsGiven(args[0])) {
    return ListOf(runtime, kFromEnd ? SplitSpaceFromEnd(text, most) : SplitSpace(text, most));
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view separator, AsText(args[0], "sep"));
  if (separator.empty()) return EvaluationError("empty separator");
  return ListOf(runtime,
                kFromEnd ? SplitAtFromEnd(text, separator, most) : SplitAt(text, separator, most));
}

Result<Value> SplitIntoLines(Runtime& runtime, const Value& self, Arguments args) {
  return ListOf(runtime, SplitLines(self.text(), Truth(args[0])));
}

template <bool kFromEnd>
Result<Value> Partition(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string_view separator, AsText(args[0], "sep"));
  if (separator.empty()) return EvaluationError("empty separator");
  const std::string& text = self.text();
  const size_t at = kFromEnd ? text.rfind(separator) : text.find(separator);
  const Value empty = runtime.NewString("");
  if (at == std::string::npos) {
    return kFromEnd ? runtime.NewTuple({empty, empty, self})
                    : runtime.NewTuple({self, empty, empty});
  }
  return runtime.NewTuple({runtime.NewString(text.substr(0, at)), args[0],
                           runtime.NewString(text.substr(at + separator.size()))});
}

Result<Value> JoinItems(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(args[0]));
  TextBuilder out(&runtime.budget());
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(self.text());
    if (!items[i].Is(Kind::kString)) {
      return EvaluationError(
          fmt::format("sequence item {}: expected str instance, {} found", i, TypeName(items[i])));
    }
    out.Append(items[i].text());
  }
  return runtime.NewString(out.Take());
}

Result<Value> Justify(Runtime& runtime, const Value& self, Arguments args, bool left) {
  GYRATOR_ASSIGN_OR_RETURN(const int64_t width, AsInteger(args[0], "width"));
  std::string_view fill = " ";
  if (!args[1].Is(Kind::kMissing)) {
    GYRATOR_ASSIGN_OR_RETURN(fill, AsText(args[1], "the fill character"));
    if (args[1].string().length != 1) {
      return EvaluationError("The fill character must be exactly one character long");
    }
  }
  const auto length = static_cast<int64_t>(self.string().length);
  const auto missing =
      static_cast<size_t>(std::max<int64_t>(std::max<int64_t>(width, 0) - length, 0));
  TextBuilder out(&runtime.budget());
  if (!left) out.Fill(missing, fill);
  out.Append(self.text());
  if (left) out.Fill(missing, fill);
  return runtime.NewString(out.Take());
}

Result<Value> JustifyLeft(Runtime& runtime, const Value& self, Arguments args) {
  return Justify(runtime, self, args, /*left=*/true);
}

Result<Value> JustifyRight(Runtime& runtime, const Value& self, Arguments args) {
  return Justify(runtime, self, args, /*left=*/false);
}

Result<Value> Center(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const int64_t width, AsInteger(args[0], "width"));
  std::string_view fill = " ";
  if (!args[1].Is(Kind::kMissing)) {
    GYRATOR_ASSIGN_OR_RETURN(fill, AsText(args[1], "the fill character"));
    if (args[1].string().length != 1) {
      return EvaluationError("The fill character must be exactly one character long");
    }
  }
  return runtime.NewString(CenterText(self.text(), width, fill, &runtime.budget()));
}

Result<Value> FillZeros(Runtime& runtime, const Value& self, Arguments args) {
  GYRATOR_ASSIGN_OR_RETURN(const int64_t width, AsInteger(args[0], "width"));
  const std::string& text = self.text();
  const auto length = static_cast<int64_t>(self.string().length);
  const size_t sign = text.starts_with('+') || text.starts_with('-') ? 1 : 0;
  TextBuilder out(&runtime.budget());
  out.Append(text.substr(0, sign));
  out.Fill(width > length ? static_cast<size_t>(width - length) : 0, "0");
  out.Append(text.substr(sign));
  return runtime.NewString(out.Take());
}

Result<Value> Format(Runtime& runtime, const Value& self, Arguments args) {
  return BraceFormat(runtime, self.text(), args[0].items(), args[1].dict());
}

constexpr auto kMethods = std::to_array<Builtin>({
    {"capitalize", "", Convert<Capitalize>},
    {"center", "/width, /fillchar=", Center},
    {"count", "/sub, /start=, /end=", Count},
    {"endswith", "/suffix, /start=, /end=", HasAffix<true>},
    {"find", "/sub, /start=, /end=", Find<false>},
    {"format", "**", Format},
    {"index", "/sub, /start=, /end=", Index<false>},
    {"isalnum", "", Is<TextClass::kAlnum>},
    {"isalpha", "", Is<TextClass::kAlpha>},
    {"isdecimal", "", Is<TextClass::kDecimal>},
    {"isdigit", "", Is<TextClass::kDigit>},
    {"islower", "", Is<TextClass::kLower>},
    {"isspace", "", Is<TextClass::kSpace>},
    {"isupper", "", Is<TextClass::kUpper>},
    {"join", "/iterable", JoinItems},
    {"ljust", "/width, /fillchar=", JustifyLeft},
    {"lower", "", Convert<Lower>},
    {"lstrip", "/chars=", StripText<true, false>},
    {"partition", "/sep", Partition<false>},
    {"removeprefix", "/prefix", RemoveAffix<false>},
    {"removesuffix", "/suffix", RemoveAffix<true>},
    {"replace", "/old, /new, /count=", Replace},
    {"rfind", "/sub, /start=, /end=", Find<true>},
    {"rindex", "/sub, /start=, /end=", Index<true>},
    {"rjust", "/width, /fillchar=", JustifyRight},
    {"rpartition", "/sep", Partition<true>},
    {"rsplit", "sep=, maxsplit=", Split<true>},
    {"rstrip", "/chars=", StripText<false, true>},
    {"split", "sep=, maxsplit=", Split<false>},
    {"splitlines", "keepends=", SplitIntoLines},
    {"startswith", "/prefix, /start=, /end=", HasAffix<false>},
    {"strip", "/chars=", StripText<true, true>},
    {"title", "", Convert<Title>},
    {"upper", "", Convert<Upper>},
    {"zfill", "/width", FillZeros},
});

}  // namespace

std::span<const Builtin> StringMethods() { return kMethods; }

void ReplaceText(std::string_view text, const Replacement& replacement, TextBuilder* out) {
  int64_t left = replacement.count;
  const auto more = [&] { return left < 0 || left-- > 0; };
  size_t pos = 0;
  if (replacement.old.empty()) {
    while (more()) {
      out->Append(replacement.with);
      if (pos == text.size()) return;
      const size_t start = pos;
      DecodeAt(text, &pos);
      out->Append(text.substr(start, pos - start));
    }
    return out->Append(text.substr(pos));
  }
  while (true) {
    const size_t at = text.find(replacement.old, pos);
    if (at == std::string_view::npos || !more()) return out->Append(text.substr(pos));
    out->Append(text.substr(pos, at - pos));
    out->Append(replacement.with);
    pos = at + replacement.old.size();
  }
}

std::string CenterText(std::string_view text, int64_t width, std::string_view fill,
                       Budget* budget) {
  const auto length = static_cast<int64_t>(CountCodePoints(text));
  const int64_t missing = width > length ? width - length : 0;
  const int64_t left = missing / 2 + (missing & width & 1);
  TextBuilder out(budget);
  out.Fill(static_cast<size_t>(left), fill);
  out.Append(text);
  out.Fill(static_cast<size_t>(missing - left), fill);
  return out.Take();
}

}  // namespace gyrator::jinja

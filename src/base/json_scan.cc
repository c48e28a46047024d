#include "base/json_scan.h"

#include <algorithm>

#include "base/utf8.h"

namespace gyrator {

namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

JsonScanner::JsonScanner(std::string_view text, int depth_max)
    : text_(text), depth_max_(static_cast<size_t>(std::max(depth_max, 0))) {
  if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
}

size_t JsonScanner::offset() {
  at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
  return at_;
}

char JsonScanner::Peek() { return offset() < text_.size() ? text_[at_] : '\0'; }

bool JsonScanner::Accept(char c) {
  if (offset() >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

Status JsonScanner::Failed(std::string_view expected) {
  const std::string_view rest = text_.substr(std::min(at_, text_.size()), 20);
  const std::string found =
      rest.empty() ? "the end" : "'" + std::string(rest.substr(0, CompletePrefix(rest))) + "'";
  return Status::Corruption("json: byte " + std::to_string(at_) + ": " + std::string(expected) +
                            " expected, found " + found);
}

Status JsonScanner::Expect(char c) {
  return Accept(c) ? Status() : Failed("'" + std::string(1, c) + "'");
}

Status JsonScanner::ExpectEnd() { return offset() == text_.size() ? Status() : Failed("the end"); }

Status JsonScanner::CodeUnit(uint32_t* unit) {
  *unit = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (!IsDigit(c) && !letter) return Failed("four hexadecimal digits");
    *unit = *unit * 16 + static_cast<uint32_t>(IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    ++at_;
  }
  return {};
}

// What stands behind a backslash.
Status JsonScanner::Escape(std::string* out) {
  constexpr std::string_view kNames = "\"\\/bfnrt", kBytes = "\"\\/\b\f\n\r\t";
  const char c = at_ < text_.size() ? text_[at_] : '\0';
  const size_t simple = c == '\0' ? std::string_view::npos : kNames.find(c);
  if (simple != std::string_view::npos) {
    ++at_;
    if (out != nullptr) *out += kBytes[simple];
    return {};
  }
  if (c != 'u') return Failed("an escape");
  ++at_;
  uint32_t code = 0;
  GYRATOR_RETURN_IF_ERROR(CodeUnit(&code));
  if (code >= 0xdc00 && code < 0xe000) return Failed("the first of two surrogates before this");
  if (code >= 0xd800 && code < 0xdc00) {
    uint32_t low = 0;
    if (text_.substr(at_, 2) != "\\u") return Failed("the second of two surrogates");
    at_ += 2;
    GYRATOR_RETURN_IF_ERROR(CodeUnit(&low));
    if (low < 0xdc00 || low >= 0xe000) return Failed("the second of two surrogates before this");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  if (out != nullptr) AppendUtf8(code, out);
  return {};
}

Status JsonScanner::String(std::string* out) {
  GYRATOR_RETURN_IF_ERROR(Expect('"'));
  while (at_ < text_.size()) {
    size_t end = at_;
    while (end < text_.size() && text_[end] != '"' && text_[end] != '\\' &&
           static_cast<unsigned char>(text_[end]) >= 0x20) {
      ++end;
    }
    if (out != nullptr) out->append(text_.substr(at_, end - at_));
    at_ = end;
    if (end == text_.size()) break;
    if (text_[end] == '"') {
      ++at_;
      return {};
    }
    if (text_[end] != '\\') return Failed("an escaped control character");
    ++at_;
    GYRATOR_RETURN_IF_ERROR(Escape(out));
  }
  return Failed("the end of a string");
}

Status JsonScanner::WholeNumber(int64_t* out) {
  constexpr size_t kDigitsMax = 18;
  const size_t begin = offset();
  size_t end = begin;
  while (end < text_.size() && IsDigit(text_[end])) ++end;
  const bool plain =
      end > begin && end - begin <= kDigitsMax && (text_[begin] != '0' || end - begin == 1) &&
      (end == text_.size() || std::string_view(".eE").find(text_[end]) == std::string_view::npos);
  if (!plain) return Failed("a whole number");
  *out = 0;
  for (; at_ < end; ++at_) *out = *out * 10 + (text_[at_] - '0');
  return {};
}

Status JsonScanner::Number() {
  const auto digits = [this] {
    const size_t begin = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ - begin;
  };
  if (at_ < text_.size() && text_[at_] == '-') ++at_;
  const bool zero = at_ < text_.size() && text_[at_] == '0';
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return Failed("a number");
  if (at_ < text_.size() && text_[at_] == '.') {
    ++at_;
    if (digits() == 0) return Failed("a digit");
  }
  if (at_ < text_.size() && (text_[at_] | 0x20) == 'e') {
    ++at_;
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    if (digits() == 0) return Failed("a digit");
  }
  return {};
}

Status JsonScanner::Word(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return Failed("a value");
  at_ += word.size();
  return {};
}

Status JsonScanner::Scalar() {
  switch (Peek()) {
    case '"':
      return String(nullptr);
    case 't':
      return Word("true");
    case 'f':
      return Word("false");
    case 'n':
      return Word("null");
    default:
      return Number();
  }
}

void JsonScanner::Copy(size_t begin, std::string* out) const {
  if (out != nullptr) out->append(text_.substr(begin, at_ - begin));
}

Status JsonScanner::Name(std::string* out) {
  const size_t begin = offset();
  GYRATOR_RETURN_IF_ERROR(String(nullptr));
  Copy(begin, out);
  GYRATOR_RETURN_IF_ERROR(Expect(':'));
  if (out != nullptr) *out += ':';
  return {};
}

Status JsonScanner::NextInOpen(std::vector<bool>* open, std::string* out) {
  while (!open->empty()) {
    const bool object = open->back();
    if (Accept(',')) {
      if (out != nullptr) *out += ',';
      return object ? Name(out) : Status();
    }
    if (!Accept(object ? '}' : ']')) return Failed(object ? "',' or '}'" : "',' or ']'");
    if (out != nullptr) *out += object ? '}' : ']';
    open->pop_back();
  }
  return {};
}

Status JsonScanner::Value(std::string* out) {
  std::vector<bool> open;  // true: an object
  do {
    const char c = Peek();
    const bool object = c == '{';
    if (!object && c != '[') {
      const size_t begin = at_;
      GYRATOR_RETURN_IF_ERROR(Scalar());
      Copy(begin, out);
      GYRATOR_RETURN_IF_ERROR(NextInOpen(&open, out));
      continue;
    }
    if (open.size() >= depth_max_) {
      return Failed("at most " + std::to_string(depth_max_) + " nested levels");
    }
    ++at_;
    if (out != nullptr) *out += c;
    open.push_back(object);
    if (Peek() == (object ? '}' : ']')) {
      GYRATOR_RETURN_IF_ERROR(NextInOpen(&open, out));
    } else if (object) {
      GYRATOR_RETURN_IF_ERROR(Name(out));
    }
  } while (!open.empty());
  return {};
}

}  // namespace gyrator

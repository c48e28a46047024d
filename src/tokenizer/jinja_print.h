// Values as text: Python's str(), repr() and json.dumps().
//
// Every byte is charged to the budget before it is kept; when the budget runs out the text is cut
// short and the evaluator ends the render (jinja_value.h, Budget).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gyrator/status.h"
#include "tokenizer/jinja_value.h"

namespace gyrator::jinja {

// A text that grows on the budget.
class TextBuilder {
 public:
  explicit TextBuilder(Budget* budget) : budget_(budget) {}
  void Append(std::string_view text) {
    if (budget_->Bytes(text.size())) text_.append(text);
  }
  void Fill(size_t count, std::string_view text);  // `count` times `text`
  Budget* budget() { return budget_; }
  std::string Take() { return std::move(text_); }

 private:
  Budget* budget_;
  std::string text_;
};

// Shortest digits that read back as `value`, as Python's repr(float).
std::string FormatFloat(double value);
void AppendStr(const Value& value, TextBuilder* out);
void AppendRepr(const Value& value, TextBuilder* out);
std::string Str(const Value& value, Budget* budget);
std::string Repr(const Value& value, Budget* budget);
// A short text in quotes for messages.
std::string Quote(std::string_view text);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level; empty: line breaks alone
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
// json.dumps. kInvalidArgument for values that JSON does not have.
Status AppendJson(const Value& value, const JsonStyle& style, TextBuilder* out);

}  // namespace gyrator::jinja

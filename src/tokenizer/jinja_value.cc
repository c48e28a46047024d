#include "tokenizer/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

// -1, 0, 1; 2 when one is NaN. Exact, also where a double cannot hold the integer.
int CompareNumbers(const Value& a, const Value& b) {
  if (a.IsInteger() && b.IsInteger()) {
    return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
  }
  if (a.IsInteger()) {
    const int reversed = CompareNumbers(b, a);
    return reversed == 2 ? 2 : -reversed;
  }
  const double x = a.number();
  if (std::isnan(x) || (b.Is(Kind::kFloat) && std::isnan(b.number()))) return 2;
  if (b.Is(Kind::kFloat)) return x < b.number() ? -1 : x > b.number();
  if (x >= 0x1p63) return 1;
  if (x < -0x1p63) return -1;
  const auto whole = static_cast<int64_t>(x);
  if (whole != b.integer()) return whole < b.integer() ? -1 : 1;
  const double rest = x - static_cast<double>(whole);
  return rest < 0 ? -1 : rest > 0;
}

bool EqualDicts(const DictObject& a, const DictObject& b, Budget* budget) {
  if (a.items.size() != b.items.size()) return false;
  for (const auto& [key, value] : a.items) {
    const Value* other = b.Find(key);
    if (other == nullptr || !Equal(value, *other, budget)) return false;
  }
  return true;
}

bool EqualItems(const std::vector<Value>& a, const std::vector<Value>& b, Budget* budget) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!Equal(a[i], b[i], budget)) return false;
  }
  return true;
}

bool EqualViews(const Value& a, const Value& b, Budget* budget) {
  const ViewObject& x = a.view();
  const ViewObject& y = b.view();
  if (x.which != y.which) return false;
  if (x.which == ViewObject::Which::kValues) return a.SameAs(b);
  if (x.which == ViewObject::Which::kItems) return Equal(x.dict, y.dict, budget);
  const DictObject& other = y.dict.dict();
  if (x.dict.dict().items.size() != other.items.size()) return false;
  for (const auto& item : x.dict.dict().items) {
    if (other.Find(item.first) == nullptr) return false;
  }
  return true;
}

bool EqualRanges(const RangeObject& a, const RangeObject& b) {
  if (a.length != b.length) return false;
  if (a.length == 0) return true;
  return a.start == b.start && (a.length == 1 || a.step == b.step);
}

Status NoOrder(Order order, const Value& a, const Value& b) {
  constexpr std::string_view kNames[] = {"<", "<=", ">", ">="};
  return EvaluationError("'" + std::string(kNames[static_cast<int>(order)]) +
                         "' not supported between instances of '" + std::string(TypeName(a)) +
                         "' and '" + std::string(TypeName(b)) + "'");
}

bool Decide(Order order, int comparison) {
  switch (order) {
    case Order::kLess:
      return comparison < 0;
    case Order::kLessEqual:
      return comparison <= 0;
    case Order::kGreater:
      return comparison > 0 && comparison != 2;
    case Order::kGreaterEqual:
      return comparison >= 0 && comparison != 2;
  }
  return false;
}

bool IsScalarKey(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kView:
    case Kind::kMethod:
      return false;
    default:
      return true;
  }
}

}  // namespace

bool Budget::Step(uint64_t count) {
  if (exhausted()) return false;
  if (count > steps_) {
    Exhaust("too many steps");
    return false;
  }
  steps_ -= count;
  return true;
}

bool Budget::Bytes(uint64_t count) {
  if (exhausted()) return false;
  if (count > bytes_) {
    Exhaust("too much text and data");
    return false;
  }
  bytes_ -= count;
  return true;
}

void Budget::Exhaust(std::string what) {
  if (what_.empty()) what_ = std::move(what);
}

Status Budget::status() const {
  return exhausted() ? Status::Exhausted("the template's bounds are used up: " + what_) : Status();
}

Status EvaluationError(std::string message) {
  return Status::InvalidArgument(std::move(message)).Named("template_error");
}

Value Value::String(std::string text) {
  auto object = std::make_shared<StringObject>();
  object->length = CountCodePoints(text);
  object->text = std::move(text);
  return Of(Kind::kString, std::move(object));
}

Value Value::Undefined(std::string message) {
  auto object = std::make_shared<UndefinedObject>();
  object->message = std::move(message);
  return Of(Kind::kUndefined, std::move(object));
}

double Value::number() const {
  return kind_ == Kind::kFloat ? std::get<double>(data_) : static_cast<double>(integer());
}
const StringObject& Value::string() const { return object<StringObject>(); }
const std::string& Value::text() const { return string().text; }
const std::string& Value::message() const { return object<UndefinedObject>().message; }
const SequenceObject& Value::sequence() const { return object<SequenceObject>(); }
const std::vector<Value>& Value::items() const { return sequence().items; }
const DictObject& Value::dict() const { return object<DictObject>(); }
const ViewObject& Value::view() const { return object<ViewObject>(); }
const RangeObject& Value::range() const { return object<RangeObject>(); }
const MethodObject& Value::method() const { return object<MethodObject>(); }

int Value::depth() const {
  const auto* held = std::get_if<std::shared_ptr<const Object>>(&data_);
  return held != nullptr ? (*held)->depth : 0;
}

bool Value::SameAs(const Value& other) const {
  if (kind_ != other.kind_) return false;
  if (Is(Kind::kFloat)) return number() == other.number();
  if (Is(Kind::kString)) return text() == other.text();  // as if every string were interned
  return data_ == other.data_;
}

size_t KeyHash::operator()(const Value& key) const {
  switch (key.kind()) {
    case Kind::kBool:
    case Kind::kInt:
      return std::hash<int64_t>()(key.integer());
    case Kind::kFloat: {
      const double x = key.number();
      if (x >= -0x1p63 && x < 0x1p63 && x == std::floor(x)) {
        return std::hash<int64_t>()(static_cast<int64_t>(x));
      }
      return std::hash<double>()(x);
    }
    case Kind::kString:
      return std::hash<std::string>()(key.text());
    case Kind::kTuple: {
      size_t hash = key.items().size();
      for (const Value& item : key.items()) hash = hash * 1'000'003 ^ (*this)(item);
      return hash;
    }
    default:
      return static_cast<size_t>(key.kind());
  }
}

bool KeyEqual::operator()(const Value& a, const Value& b) const {
  if (a.IsNumber() && b.IsNumber()) return CompareNumbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kRange:
      return EqualRanges(a.range(), b.range());
    case Kind::kTuple:
      if (a.items().size() != b.items().size()) return false;
      for (size_t i = 0; i < a.items().size(); ++i) {
        if (!(*this)(a.items()[i], b.items()[i])) return false;
      }
      return true;
    default:
      return a.SameAs(b);
  }
}

bool IsHashable(const Value& value) {
  if (!value.Is(Kind::kTuple)) return IsScalarKey(value);
  for (const Value& item : value.items()) {
    if (!IsScalarKey(item)) return false;
  }
  return true;
}

const Value* DictObject::Find(const Value& key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &items[found->second].second;
}

const Value* DictObject::Find(std::string_view key) const {
  return Find(Value::String(std::string(key)));
}

void DictObject::Set(Value key, Value value) {
  depth = std::max({depth, 1 + key.depth(), 1 + value.depth()});
  const auto [at, added] = index_.try_emplace(key, items.size());
  if (added) {
    items.emplace_back(std::move(key), std::move(value));
  } else {
    items[at->second].second = std::move(value);
  }
}

std::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kView:
      switch (value.view().which) {
        case ViewObject::Which::kKeys:
          return "dict_keys";
        case ViewObject::Which::kValues:
          return "dict_values";
        case ViewObject::Which::kItems:
          return "dict_items";
      }
      break;
    case Kind::kRange:
      return "range";
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "TemplateNamespace";
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "builtin_function_or_method";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  return "object";
}

std::string DescribeType(const Value& value) {
  return value.Is(Kind::kNone) ? "None" : std::string(TypeName(value)) + " object";
}

bool Truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.number() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().items.empty();
    case Kind::kView:
      return !value.view().dict.dict().items.empty();
    case Kind::kRange:
      return value.range().length > 0;
    default:
      return true;
  }
}

Result<int64_t> Length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(value.string().length);
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().items.size());
    case Kind::kView:
      return static_cast<int64_t>(value.view().dict.dict().items.size());
    case Kind::kRange:
      return value.range().length;
    default:
      return EvaluationError("object of type '" + std::string(TypeName(value)) + "' has no len()");
  }
}

bool Equal(const Value& a, const Value& b, Budget* budget) {
  if (!budget->Step()) return false;
  if (a.IsNumber() && b.IsNumber()) return CompareNumbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kList:
    case Kind::kTuple:
      return EqualItems(a.items(), b.items(), budget);
    case Kind::kDict:
      return EqualDicts(a.dict(), b.dict(), budget);
    case Kind::kRange:
      return EqualRanges(a.range(), b.range());
    case Kind::kView:
      return EqualViews(a, b, budget);
    default:
      return a.SameAs(b);
  }
}

Result<bool> Compare(Order order, const Value& a, const Value& b, Budget* budget) {
  if (!budget->Step()) return budget->status();
  if (a.Is(Kind::kUndefined)) return EvaluationError(a.message());
  if (b.Is(Kind::kUndefined)) return EvaluationError(b.message());
  if (a.IsNumber() && b.IsNumber()) {
    const int comparison = CompareNumbers(a, b);
    return comparison != 2 && Decide(order, comparison);
  }
  if (a.Is(Kind::kString) && b.Is(Kind::kString)) {  // UTF-8 sorts as its code points do
    const int comparison = a.text().compare(b.text());
    return Decide(order, comparison < 0 ? -1 : comparison > 0);
  }
  if (!a.IsSequence() || a.kind() != b.kind()) return NoOrder(order, a, b);
  const auto& left = a.items();
  const auto& right = b.items();
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (!Equal(left[i], right[i], budget)) return Compare(order, left[i], right[i], budget);
  }
  return Decide(order, left.size() < right.size() ? -1 : left.size() > right.size());
}

}  // namespace gyrator::jinja

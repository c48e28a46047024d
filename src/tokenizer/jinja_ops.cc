#include "tokenizer/jinja_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "tokenizer/jinja_format.h"
#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

Status TooBig() { return EvaluationError("an integer does not fit in 64 bits"); }

Status BadOperands(std::string_view op, const Value& left, const Value& right) {
  return EvaluationError(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", op,
                                     TypeName(left), TypeName(right)));
}

Result<Value> Divide(std::string_view op, const Value& left, const Value& right) {
  if (right.number() == 0) return EvaluationError("division by zero");
  if (op == "/") return Value::Float(left.number() / right.number());
  if (left.IsInteger() && right.IsInteger()) {
    const int64_t a = left.integer();
    const int64_t b = right.integer();
    if (b == -1) {  // INT64_MIN / -1 does not fit
      if (op == "%") return Value::Int(0);
      int64_t negated = 0;
      if (__builtin_sub_overflow(int64_t{0}, a, &negated)) return TooBig();
      return Value::Int(negated);
    }
    const int64_t rest = a % b;
    const bool rounds_up = rest != 0 && (rest < 0) != (b < 0);
    return op == "%" ? Value::Int(rounds_up ? rest + b : rest) : Value::Int(a / b - rounds_up);
  }
  const double a = left.number();
  const double b = right.number();
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return Value::Float(rest != 0 ? rest : std::copysign(0.0, b));
  const double quotient = (a - rest) / b;
  if (quotient == 0) return Value::Float(std::copysign(0.0, a / b));
  const double floor = std::floor(quotient);
  return Value::Float(quotient - floor > 0.5 ? floor + 1 : floor);
}

Result<Value> Power(const Value& left, const Value& right) {
  if (left.IsInteger() && right.IsInteger() && right.integer() >= 0) {
    int64_t result = 1;
    int64_t base = left.integer();
    for (int64_t exponent = right.integer(); exponent > 0; exponent >>= 1) {
      if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return TooBig();
      if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return TooBig();
    }
    return Value::Int(result);
  }
  const double base = left.number();
  const double exponent = right.number();
  if (base == 0 && exponent < 0) {
    return EvaluationError("0.0 cannot be raised to a negative power");
  }
  if (base < 0 && exponent != std::floor(exponent)) {
    return EvaluationError("complex numbers are not supported");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    return EvaluationError("numerical result out of range");
  }
  return Value::Float(result);
}

Result<Value> Arithmetic(std::string_view op, const Value& left, const Value& right) {
  if (op == "**") return Power(left, right);
  if (op == "/" || op == "//" || op == "%") return Divide(op, left, right);
  if (left.IsInteger() && right.IsInteger()) {
    int64_t result = 0;
    const int64_t a = left.integer();
    const int64_t b = right.integer();
    const bool overflow = op == "+"   ? __builtin_add_overflow(a, b, &result)
                          : op == "-" ? __builtin_sub_overflow(a, b, &result)
                                      : __builtin_mul_overflow(a, b, &result);
    if (overflow) return TooBig();
    return Value::Int(result);
  }
  const double a = left.number();
  const double b = right.number();
  return Value::Float(op == "+" ? a + b : op == "-" ? a - b : a * b);
}

Result<Value> Repeat(Runtime& runtime, const Value& value, int64_t count) {
  const auto times = static_cast<size_t>(std::max<int64_t>(count, 0));
  if (value.Is(Kind::kString)) {
    TextBuilder out(&runtime.budget());
    out.Fill(times, value.text());
    return runtime.NewString(out.Take());
  }
  const auto& items = value.items();
  constexpr size_t kMost = size_t{1} << 40;
  if (times > kMost / (items.size() + 1) || !runtime.budget().Step(times * items.size())) {
    runtime.budget().Exhaust("too many steps");
    return runtime.budget().status();
  }
  std::vector<Value> repeated;
  for (size_t i = 0; i < times && !items.empty(); ++i) {
    repeated.insert(repeated.end(), items.begin(), items.end());
  }
  return value.Is(Kind::kList) ? runtime.NewList(std::move(repeated))
                               : runtime.NewTuple(std::move(repeated));
}

Result<Value> Join(Runtime& runtime, const Value& left, const Value& right) {
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  if (!runtime.budget().Step(items.size())) return runtime.budget().status();
  return left.Is(Kind::kList) ? runtime.NewList(std::move(items))
                              : runtime.NewTuple(std::move(items));
}

bool CanRepeat(const Value& value) { return value.Is(Kind::kString) || value.IsSequence(); }

Result<bool> Contains(Runtime& runtime, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString:
      if (!item.Is(Kind::kString)) {
        return EvaluationError(
            fmt::format("'in <string>' requires string as left operand, not {}", TypeName(item)));
      }
      return container.text().find(item.text()) != std::string::npos;
    case Kind::kDict:
      if (!IsHashable(item)) {
        return EvaluationError(fmt::format("unhashable type: '{}'", TypeName(item)));
      }
      return container.dict().Find(item) != nullptr;
    case Kind::kList:
    case Kind::kTuple:
      for (const Value& candidate : container.items()) {
        if (candidate.SameAs(item) || Equal(candidate, item, &runtime.budget())) return true;
      }
      return false;
    case Kind::kNamespace:
    case Kind::kInt:
    case Kind::kBool:
    case Kind::kFloat:
    case Kind::kNone:
      return EvaluationError(
          fmt::format("argument of type '{}' is not iterable", TypeName(container)));
    default:
      break;
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, runtime.Items(container));
  for (const Value& candidate : items) {
    if (candidate.SameAs(item) || Equal(candidate, item, &runtime.budget())) return true;
  }
  return false;
}

// The indexes of a slice over `length` elements, as Python's slice.indices().
struct SliceRange {
  int64_t start = 0, stop = 0, step = 1;
  int64_t Count() const {
    if (step > 0) return start < stop ? (stop - start - 1) / step + 1 : 0;
    return start > stop ? (start - stop - 1) / -step + 1 : 0;
  }
};

Result<std::optional<int64_t>> BoundOf(const Value& value) {
  if (value.Is(Kind::kMissing) || value.Is(Kind::kNone)) return std::optional<int64_t>();
  if (value.IsInteger()) return std::optional<int64_t>(value.integer());
  if (value.Is(Kind::kUndefined)) return EvaluationError(value.message());
  return EvaluationError("slice indices must be integers or None or have an __index__ method");
}

Result<SliceRange> RangeOf(const SliceBounds& bounds, int64_t length) {
  GYRATOR_ASSIGN_OR_RETURN(const auto start, BoundOf(bounds.start));
  GYRATOR_ASSIGN_OR_RETURN(const auto stop, BoundOf(bounds.stop));
  GYRATOR_ASSIGN_OR_RETURN(const auto step, BoundOf(bounds.step));
  SliceRange range;
  range.step = std::max(step.value_or(1), -INT64_MAX);
  if (range.step == 0) return EvaluationError("slice step cannot be zero");
  const bool back = range.step < 0;
  const auto clamp = [&](int64_t at) {
    if (at < 0) at += length;
    return std::clamp<int64_t>(at, back ? -1 : 0, back ? length - 1 : length);
  };
  range.start = start ? clamp(*start) : back ? length - 1 : 0;
  range.stop = stop ? clamp(*stop) : back ? -1 : length;
  return range;
}

Result<Value> SliceText(Runtime& runtime, const StringObject& string, const SliceRange& range) {
  const auto count = static_cast<size_t>(range.Count());
  if (!runtime.budget().Step(string.text.size() / 64 + count / 64 + 1)) {
    return runtime.budget().status();
  }
  if (count == 0) return runtime.NewString("");
  if (range.step == 1) {
    const auto start = static_cast<size_t>(range.start);
    if (string.length == string.text.size()) {
      return runtime.NewString(string.text.substr(start, count));
    }
    const size_t begin = ByteOffset(string.text, start);
    const std::string_view rest = std::string_view(string.text).substr(begin);
    return runtime.NewString(std::string(rest.substr(0, ByteOffset(rest, count))));
  }
  const std::u32string wide = Decode(string.text);
  std::u32string picked;
  for (size_t i = 0; i < count; ++i) {
    picked.push_back(wide[static_cast<size_t>(range.start + static_cast<int64_t>(i) * range.step)]);
  }
  return runtime.NewString(Encode(picked));
}

}  // namespace

Result<Value> BinaryOperation(Runtime& runtime, std::string_view op, const Value& left,
                              const Value& right) {
  if (left.Is(Kind::kString) && op == "%") return PercentFormat(runtime, left.text(), right);
  if (left.Is(Kind::kUndefined)) return EvaluationError(left.message());
  if (right.Is(Kind::kUndefined)) return EvaluationError(right.message());
  if (left.IsNumber() && right.IsNumber()) return Arithmetic(op, left, right);
  if (op == "+") {
    if (left.Is(Kind::kString) && right.Is(Kind::kString)) {
      TextBuilder out(&runtime.budget());
      out.Append(left.text());
      out.Append(right.text());
      return runtime.NewString(out.Take());
    }
    if (left.IsSequence() && left.kind() == right.kind()) return Join(runtime, left, right);
    if (left.Is(Kind::kString)) {
      return EvaluationError(
          fmt::format("can only concatenate str (not \"{}\") to str", TypeName(right)));
    }
  }
  if (op == "*") {
    if (CanRepeat(left) && right.IsInteger()) return Repeat(runtime, left, right.integer());
    if (CanRepeat(right) && left.IsInteger()) return Repeat(runtime, right, left.integer());
  }
  return BadOperands(op, left, right);
}

Result<Value> SignOperation(std::string_view op, const Value& operand) {
  if (operand.Is(Kind::kUndefined)) return EvaluationError(operand.message());
  if (!operand.IsNumber()) {
    return EvaluationError(
        fmt::format("bad operand type for unary {}: '{}'", op, TypeName(operand)));
  }
  if (operand.Is(Kind::kFloat)) return op == "-" ? Value::Float(-operand.number()) : operand;
  if (op == "+") return Value::Int(operand.integer());
  int64_t negated = 0;
  if (__builtin_sub_overflow(int64_t{0}, operand.integer(), &negated)) return TooBig();
  return Value::Int(negated);
}

Result<bool> Comparison(Runtime& runtime, std::string_view op, const Value& left,
                        const Value& right) {
  Budget* budget = &runtime.budget();
  if (op == "==") return Equal(left, right, budget);
  if (op == "!=") return !Equal(left, right, budget);
  if (op == "<") return Compare(Order::kLess, left, right, budget);
  if (op == "<=") return Compare(Order::kLessEqual, left, right, budget);
  if (op == ">") return Compare(Order::kGreater, left, right, budget);
  if (op == ">=") return Compare(Order::kGreaterEqual, left, right, budget);
  GYRATOR_ASSIGN_OR_RETURN(const bool contains, Contains(runtime, right, left));
  return (op == "in") == contains;
}

Result<Value> Slice(Runtime& runtime, const Value& value, const SliceBounds& bounds) {
  if (value.Is(Kind::kUndefined)) return EvaluationError(value.message());
  if (!CanRepeat(value) && !value.Is(Kind::kRange)) {
    return EvaluationError(fmt::format("'{}' object cannot be sliced", TypeName(value)));
  }
  GYRATOR_ASSIGN_OR_RETURN(const int64_t length, Length(value));
  GYRATOR_ASSIGN_OR_RETURN(const SliceRange range, RangeOf(bounds, length));
  if (value.Is(Kind::kString)) return SliceText(runtime, value.string(), range);
  if (value.Is(Kind::kRange)) {
    const RangeObject& from = value.range();
    auto part = std::make_shared<RangeObject>();
    part->start = from.start + range.start * from.step;
    part->stop = from.start + range.stop * from.step;
    part->length = range.Count();
    // Out of 64 bits only where no second number follows.
    if (__builtin_mul_overflow(from.step, range.step, &part->step)) part->step = range.step;
    return Value::Of(Kind::kRange, std::move(part));
  }
  const int64_t count = range.Count();
  if (!runtime.budget().Step(static_cast<uint64_t>(count))) return runtime.budget().status();
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    items.push_back(value.items()[static_cast<size_t>(range.start + i * range.step)]);
  }
  return value.Is(Kind::kList) ? runtime.NewList(std::move(items))
                               : runtime.NewTuple(std::move(items));
}

}  // namespace gyrator::jinja

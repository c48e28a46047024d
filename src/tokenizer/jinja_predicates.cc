// The tests of the template language: what may follow `is`.
#include <fmt/format.h>

#include <array>

#include "tokenizer/jinja_ops.h"
#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_runtime.h"
#include "tokenizer/jinja_text.h"

namespace gyrator::jinja {

namespace {

using Arguments = std::span<const Value>;

template <Kind... kKinds>
Result<Value> HasKind(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  return Value::Bool((self.Is(kKinds) || ...));
}

Result<Value> IsDefined(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  return Value::Bool(!self.Is(Kind::kUndefined));
}

template <bool kWanted>
Result<Value> IsBool(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  return Value::Bool(self.Is(Kind::kBool) && (self.integer() != 0) == kWanted);
}

Result<Value> IsIterable(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  switch (self.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kView:
    case Kind::kRange:
    case Kind::kIterator:
    case Kind::kLoop:
      return Value::Bool(true);
    default:
      return Value::Bool(false);
  }
}

// len() and a way to index.
Result<Value> IsSequence(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  switch (self.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
      return Value::Bool(true);
    default:
      return Value::Bool(false);
  }
}

Result<Value> IsCallable(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  switch (self.kind()) {
    case Kind::kUndefined:  // calling it is what fails
    case Kind::kMacro:
    case Kind::kFunction:
    case Kind::kMethod:
    case Kind::kLoop:
    case Kind::kJoiner:
      return Value::Bool(true);
    default:
      return Value::Bool(false);
  }
}

Result<Value> Remainder(Runtime& runtime, const Value& self, const Value& divisor, int64_t wanted) {
  GYRATOR_ASSIGN_OR_RETURN(const Value rest, BinaryOperation(runtime, "%", self, divisor));
  return Value::Bool(Equal(rest, Value::Int(wanted), &runtime.budget()));
}

Result<Value> IsOdd(Runtime& runtime, const Value& self, Arguments /*args*/) {
  return Remainder(runtime, self, Value::Int(2), 1);
}

Result<Value> IsEven(Runtime& runtime, const Value& self, Arguments /*args*/) {
  return Remainder(runtime, self, Value::Int(2), 0);
}

Result<Value> IsDivisible(Runtime& runtime, const Value& self, Arguments args) {
  return Remainder(runtime, self, args[0], 0);
}

Result<Value> IsLower(Runtime& runtime, const Value& self, Arguments /*args*/) {
  return Value::Bool(HasClass(runtime.Str(self), TextClass::kLower));
}

Result<Value> IsUpper(Runtime& runtime, const Value& self, Arguments /*args*/) {
  return Value::Bool(HasClass(runtime.Str(self), TextClass::kUpper));
}

Result<Value> IsSameAs(Runtime& /*runtime*/, const Value& self, Arguments args) {
  return Value::Bool(self.SameAs(args[0]));
}

Result<Value> NamesFilter(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  return Value::Bool(self.Is(Kind::kString) && FindFilter(self.text()) != nullptr);
}

Result<Value> NamesTest(Runtime& /*runtime*/, const Value& self, Arguments /*args*/) {
  return Value::Bool(self.Is(Kind::kString) && FindTest(self.text()) != nullptr);
}

Result<Value> Holds(Runtime& runtime, std::string_view op, const Value& left, const Value& right) {
  GYRATOR_ASSIGN_OR_RETURN(const bool holds, Comparison(runtime, op, left, right));
  return Value::Bool(holds);
}

#define GYRATOR_JINJA_COMPARISON(name, op)                                  \
  Result<Value> name(Runtime& runtime, const Value& self, Arguments args) { \
    return Holds(runtime, op, self, args[0]);                               \
  }
GYRATOR_JINJA_COMPARISON(IsEqual, "==")
GYRATOR_JINJA_COMPARISON(IsNotEqual, "!=")
GYRATOR_JINJA_COMPARISON(IsLess, "<")
GYRATOR_JINJA_COMPARISON(IsLessEqual, "<=")
GYRATOR_JINJA_COMPARISON(IsGreater, ">")
GYRATOR_JINJA_COMPARISON(IsGreaterEqual, ">=")
GYRATOR_JINJA_COMPARISON(IsIn, "in")
#undef GYRATOR_JINJA_COMPARISON

constexpr auto kTests = std::to_array<Builtin>({
    {"defined", "", IsDefined},
    {"undefined", "", HasKind<Kind::kUndefined>},
    {"none", "", HasKind<Kind::kNone>},
    {"boolean", "", HasKind<Kind::kBool>},
    {"true", "", IsBool<true>},
    {"false", "", IsBool<false>},
    {"integer", "", HasKind<Kind::kInt>},
    {"float", "", HasKind<Kind::kFloat>},
    {"number", "", HasKind<Kind::kBool, Kind::kInt, Kind::kFloat>},
    {"string", "", HasKind<Kind::kString>},
    {"mapping", "", HasKind<Kind::kDict>},
    {"iterable", "", IsIterable},
    {"sequence", "", IsSequence},
    {"callable", "", IsCallable},
    {"odd", "", IsOdd},
    {"even", "", IsEven},
    {"divisibleby", "num", IsDivisible},
    {"lower", "", IsLower},
    {"upper", "", IsUpper},
    {"sameas", "other", IsSameAs},
    {"filter", "", NamesFilter},
    {"test", "", NamesTest},
    {"in", "seq", IsIn},
    {"==", "/other", IsEqual},
    {"eq", "/other", IsEqual},
    {"equalto", "/other", IsEqual},
    {"!=", "/other", IsNotEqual},
    {"ne", "/other", IsNotEqual},
    {"<", "/other", IsLess},
    {"lt", "/other", IsLess},
    {"lessthan", "/other", IsLess},
    {"<=", "/other", IsLessEqual},
    {"le", "/other", IsLessEqual},
    {">", "/other", IsGreater},
    {"gt", "/other", IsGreater},
    {"greaterthan", "/other", IsGreater},
    {">=", "/other", IsGreaterEqual},
    {"ge", "/other", IsGreaterEqual},
});

}  // namespace

const Builtin* FindTest(std::string_view name) {
  for (const Builtin& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

}  // namespace gyrator::jinja

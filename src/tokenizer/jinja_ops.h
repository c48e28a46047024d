// The operators of expressions, as Python has them.
#pragma once

#include <string_view>

#include "gyrator/status.h"
#include "tokenizer/jinja_runtime.h"

namespace gyrator::jinja {

// "+", "-", "*", "/", "//", "%", "**". kInvalidArgument for operands that do not fit, a division by
// zero and integers beyond 64 bits.
Result<Value> BinaryOperation(Runtime& runtime, std::string_view op, const Value& left,
                              const Value& right);
// "+" and "-".
Result<Value> SignOperation(std::string_view op, const Value& operand);
// "==", "!=", "<", "<=", ">", ">=", "in", "not in".
Result<bool> Comparison(Runtime& runtime, std::string_view op, const Value& left,
                        const Value& right);
// value[start:stop:step]; kMissing or None for parts that are left out.
struct SliceBounds {
  Value start, stop, step;
};
Result<Value> Slice(Runtime& runtime, const Value& value, const SliceBounds& bounds);

}  // namespace gyrator::jinja

// The part of the evaluator that computes expressions and calls.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tokenizer/jinja_eval.h"
#include "tokenizer/jinja_ops.h"
#include "tokenizer/jinja_print.h"

namespace gyrator::jinja {

Result<Value> Evaluator::Eval(const Expr& expr, Frame* frame) {
  const DepthGuard guard(this);
  GYRATOR_RETURN_IF_ERROR(Enter(expr.line));
  Result<Value> value = EvalNode(expr, frame);
  if (!value.ok() && error_line_ == 0) error_line_ = expr.line;
  return value;
}

Result<Value> Evaluator::EvalNode(const Expr& expr, Frame* frame) {
  switch (expr.kind) {
    case ExprKind::kConst:
      return expr.value;
    case ExprKind::kName:
      return EvalName(expr, frame);
    case ExprKind::kTuple:
    case ExprKind::kList: {
      GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> items, EvalOperands(expr, frame));
      return expr.kind == ExprKind::kList ? NewList(std::move(items)) : NewTuple(std::move(items));
    }
    case ExprKind::kDict:
      return EvalDict(expr, frame);
    case ExprKind::kBinary: {
      GYRATOR_ASSIGN_OR_RETURN(const Value left, Eval(*expr.operands[0], frame));
      GYRATOR_ASSIGN_OR_RETURN(const Value right, Eval(*expr.operands[1], frame));
      return BinaryOperation(*this, expr.text, left, right);
    }
    case ExprKind::kUnary: {
      GYRATOR_ASSIGN_OR_RETURN(const Value operand, Eval(*expr.operands[0], frame));
      if (expr.text == "not") return Value::Bool(!Truth(operand));
      return SignOperation(expr.text, operand);
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      GYRATOR_ASSIGN_OR_RETURN(Value left, Eval(*expr.operands[0], frame));
      if (Truth(left) == (expr.kind == ExprKind::kOr)) return left;
      return Eval(*expr.operands[1], frame);
    }
    case ExprKind::kConcat:
      return EvalConcat(expr, frame);
    case ExprKind::kCompare:
      return EvalCompare(expr, frame);
    case ExprKind::kConditional: {
      GYRATOR_ASSIGN_OR_RETURN(const Value test, Eval(*expr.operands[0], frame));
      if (Truth(test)) return Eval(*expr.operands[1], frame);
      if (expr.operands[2]) return Eval(*expr.operands[2], frame);
      return Value::Undefined(fmt::format(
          "the inline if-expression on line {} evaluated to false and no else section was defined.",
          expr.line));
    }
    case ExprKind::kAttribute: {
      GYRATOR_ASSIGN_OR_RETURN(const Value value, Eval(*expr.operands[0], frame));
      return GetAttribute(value, expr.text);
    }
    case ExprKind::kItem: {
      GYRATOR_ASSIGN_OR_RETURN(const Value value, Eval(*expr.operands[0], frame));
      GYRATOR_ASSIGN_OR_RETURN(const Value key, Eval(*expr.operands[1], frame));
      return GetItem(value, key);
    }
    case ExprKind::kSlice:
      return EvalSlice(expr, frame);
    case ExprKind::kCall:
      return EvalCall(expr, frame, nullptr);
    case ExprKind::kFilter:
    case ExprKind::kTest:
      return EvalBuiltin(expr, frame, nullptr);
    case ExprKind::kNamespace:
      break;  // a target, never a value
  }
  return Status::Internal("chat template: an expression of no kind");
}

Result<Value> Evaluator::EvalName(const Expr& expr, Frame* frame) {
  const Value& value = At(frame, expr.place);
  if (!value.Is(Kind::kMissing)) return value;
  return Value::Undefined(fmt::format("{} is undefined", Quote(expr.text)));
}

Result<std::vector<Value>> Evaluator::EvalOperands(const Expr& expr, Frame* frame) {
  std::vector<Value> values;
  values.reserve(expr.operands.size());
  for (const ExprPtr& operand : expr.operands) {
    GYRATOR_ASSIGN_OR_RETURN(Value value, Eval(*operand, frame));
    values.push_back(std::move(value));
  }
  return values;
}

Result<Value> Evaluator::EvalDict(const Expr& expr, Frame* frame) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> values, EvalOperands(expr, frame));
  auto dict = std::make_shared<DictObject>();
  for (size_t i = 0; i + 1 < values.size(); i += 2) {
    if (!IsHashable(values[i])) {
      return EvaluationError(fmt::format("unhashable type: '{}'", TypeName(values[i])));
    }
    dict->Set(std::move(values[i]), std::move(values[i + 1]));
  }
  return NewDict(std::move(dict));
}

Result<Value> Evaluator::EvalCompare(const Expr& expr, Frame* frame) {
  GYRATOR_ASSIGN_OR_RETURN(Value left, Eval(*expr.operands[0], frame));
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    GYRATOR_ASSIGN_OR_RETURN(Value right, Eval(*expr.operands[i + 1], frame));
    GYRATOR_ASSIGN_OR_RETURN(const bool holds, Comparison(*this, expr.operators[i], left, right));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Result<Value> Evaluator::EvalConcat(const Expr& expr, Frame* frame) {
  TextBuilder out(&budget());
  for (const ExprPtr& operand : expr.operands) {
    GYRATOR_ASSIGN_OR_RETURN(const Value value, Eval(*operand, frame));
    AppendStr(value, &out);
  }
  return NewString(out.Take());
}

Result<Value> Evaluator::EvalSlice(const Expr& expr, Frame* frame) {
  Value parts[4];
  for (size_t i = 0; i < 4; ++i) {
    if (!expr.operands[i]) continue;
    GYRATOR_ASSIGN_OR_RETURN(parts[i], Eval(*expr.operands[i], frame));
  }
  return Slice(*this, parts[0], {parts[1], parts[2], parts[3]});
}

Result<Args> Evaluator::EvalArguments(const CallArguments& call, Frame* frame) {
  Args args;
  for (const ExprPtr& expr : call.positional) {
    GYRATOR_ASSIGN_OR_RETURN(Value value, Eval(*expr, frame));
    args.positional.push_back(std::move(value));
  }
  if (call.star) {
    GYRATOR_ASSIGN_OR_RETURN(const Value value, Eval(*call.star, frame));
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(value));
    args.positional.insert(args.positional.end(), items.begin(), items.end());
  }
  for (const auto& [name, expr] : call.named) {
    GYRATOR_ASSIGN_OR_RETURN(Value value, Eval(*expr, frame));
    args.named.emplace_back(name, std::move(value));
  }
  if (!call.star_star) return args;
  GYRATOR_ASSIGN_OR_RETURN(const Value value, Eval(*call.star_star, frame));
  if (!value.Is(Kind::kDict)) {
    return EvaluationError(
        fmt::format("argument after ** must be a mapping, not {}", TypeName(value)));
  }
  for (const auto& [key, item] : value.dict().items) {
    if (!key.Is(Kind::kString)) return EvaluationError("keywords must be strings");
    for (const auto& named : args.named) {
      if (named.first == key.text()) {
        return EvaluationError("got multiple values for keyword argument " + Quote(key.text()));
      }
    }
    args.named.emplace_back(key.text(), item);
  }
  return args;
}

Result<Value> Evaluator::EvalCall(const Expr& expr, Frame* frame, const Value* caller) {
  GYRATOR_ASSIGN_OR_RETURN(const Value callee, Eval(*expr.operands[0], frame));
  GYRATOR_ASSIGN_OR_RETURN(Args args, EvalArguments(*expr.call, frame));
  if (caller != nullptr) args.named.emplace_back("caller", *caller);
  return Call(callee, std::move(args));
}

Result<Value> Evaluator::EvalBuiltin(const Expr& expr, Frame* frame, const Value* input) {
  Value value;
  if (input != nullptr) {
    value = *input;
  } else {
    GYRATOR_ASSIGN_OR_RETURN(value, Eval(*expr.operands[0], frame));
  }
  GYRATOR_ASSIGN_OR_RETURN(Args args, EvalArguments(*expr.call, frame));
  if (expr.builtin == nullptr) {
    return Status::Unsupported(fmt::format(
        "no {} named {}", expr.kind == ExprKind::kFilter ? "filter" : "test", Quote(expr.text)));
  }
  return CallBuiltin(*this, *expr.builtin, value, std::move(args));
}

Result<Value> Evaluator::ApplyFilters(const Expr& filters, Frame* frame, const Value& input) {
  const DepthGuard guard(this);
  GYRATOR_RETURN_IF_ERROR(Enter(filters.line));
  if (!filters.operands[0]) return EvalBuiltin(filters, frame, &input);
  GYRATOR_ASSIGN_OR_RETURN(const Value value, ApplyFilters(*filters.operands[0], frame, input));
  return EvalBuiltin(filters, frame, &value);
}

Result<Value> Evaluator::Call(const Value& callee, Args args) {
  switch (callee.kind()) {
    case Kind::kUndefined:
      return EvaluationError(callee.message());
    case Kind::kMacro:
      return CallMacro(&callee.As<Macro>(), std::move(args));
    case Kind::kFunction:
      return CallBuiltin(*this, *callee.function(), Value::None(), std::move(args));
    case Kind::kMethod:
      return CallBuiltin(*this, *callee.method().builtin, callee.method().self, std::move(args));
    case Kind::kLoop:
      return CallLoop(callee, args);
    case Kind::kJoiner: {
      auto& joiner = callee.As<Joiner>();
      return std::exchange(joiner.used, true) ? joiner.separator : NewString("");
    }
    default:
      return EvaluationError(fmt::format("'{}' object is not callable", TypeName(callee)));
  }
}

Result<Value> Evaluator::CallMacro(Macro* macro, Args args) {
  const DepthGuard guard(this);
  Frame* frame = NewFrame(macro->definition->frame, macro->outer);
  GYRATOR_RETURN_IF_ERROR(BindMacro(macro, std::move(args), frame));
  Flow flow = Flow::kNext;
  GYRATOR_ASSIGN_OR_RETURN(std::string text, Capture(macro->definition->body, frame, &flow));
  return NewString(std::move(text));
}

// Positional arguments, then those by name, then defaults, which may use the parameters before
// them. What is left goes to `caller`, `kwargs` and `varargs` where the macro reads them.
Status Evaluator::BindMacro(Macro* macro, Args args, Frame* frame) {
  const MacroDefinition& definition = *macro->definition;
  const size_t num_parameters = definition.parameters.size();
  const auto take = [&](std::string_view name) {
    const auto at = std::find_if(args.named.begin(), args.named.end(),
                                 [&](const auto& named) { return named.first == name; });
    if (at == args.named.end()) return Value();
    Value value = std::move(at->second);
    args.named.erase(at);
    return value;
  };
  for (size_t i = 0; i < num_parameters; ++i) {
    frame->slots[i] =
        i < args.positional.size() ? args.positional[i] : take(definition.parameters[i]);
  }
  const size_t num_required = num_parameters - definition.defaults.size();
  for (size_t i = 0; i < num_parameters; ++i) {
    if (!frame->slots[i].Is(Kind::kMissing)) continue;
    if (i < num_required) {
      frame->slots[i] = Value::Undefined(
          fmt::format("parameter {} was not provided", Quote(definition.parameters[i])));
    } else {
      GYRATOR_ASSIGN_OR_RETURN(frame->slots[i],
                               Eval(*definition.defaults[i - num_required], frame));
    }
  }
  if (definition.caller_slot >= 0) {
    Value caller = take("caller");
    if (caller.Is(Kind::kMissing)) caller = Value::Undefined("No caller defined");
    frame->slots[static_cast<size_t>(definition.caller_slot)] = std::move(caller);
  }
  if (definition.kwargs_slot >= 0) {
    auto kwargs = std::make_shared<DictObject>();
    for (auto& [name, value] : args.named) kwargs->Set(NewString(name), std::move(value));
    frame->slots[static_cast<size_t>(definition.kwargs_slot)] = NewDict(std::move(kwargs));
  } else if (!args.named.empty()) {
    return EvaluationError(fmt::format("macro {} takes no keyword argument {}",
                                       Quote(definition.name), Quote(args.named[0].first)));
  }
  if (definition.varargs_slot >= 0) {
    const size_t taken = std::min(num_parameters, args.positional.size());
    frame->slots[static_cast<size_t>(definition.varargs_slot)] = NewTuple(
        {args.positional.begin() + static_cast<std::ptrdiff_t>(taken), args.positional.end()});
  } else if (args.positional.size() > num_parameters) {
    return EvaluationError(fmt::format("macro {} takes not more than {} argument(s)",
                                       Quote(definition.name), num_parameters));
  }
  return {};
}

}  // namespace gyrator::jinja

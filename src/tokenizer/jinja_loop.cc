// The part of the evaluator behind `loop`.
#include <fmt/format.h>

#include <utility>

#include "tokenizer/jinja_eval.h"

namespace gyrator::jinja {

Result<Loop*> Evaluator::NewLoop(const Stmt& stmt, Frame* outer, const Value& iterable,
                                 int64_t depth0) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Value> source, Items(iterable));
  Loop* loop = New<Loop>();
  loop->stmt = &stmt;
  loop->outer = outer;
  loop->source = std::move(source);
  loop->depth0 = depth0;
  if (!stmt.test) loop->length = static_cast<int64_t>(loop->source.size());
  return loop;
}

Result<bool> Evaluator::Pull(Loop* loop, Value* out) {
  if (loop->has_peeked) {
    loop->has_peeked = false;
    *out = std::exchange(loop->peeked, Value());
    return true;
  }
  const Stmt& stmt = *loop->stmt;
  while (loop->next < loop->source.size()) {
    Value candidate = std::exchange(loop->source[loop->next++], Value());
    if (stmt.test && !loop->drained) {
      Frame* frame = NewFrame(stmt.test_frame, loop->outer);
      GYRATOR_RETURN_IF_ERROR(Assign(*stmt.target, candidate, frame));
      GYRATOR_ASSIGN_OR_RETURN(const Value test, Eval(*stmt.test, frame));
      if (!Truth(test)) continue;
      candidate = Targets(*stmt.target, frame);  // Jinja passes on what was unpacked
    }
    *out = std::move(candidate);
    return true;
  }
  return false;
}

// The values of a loop's target: one, or a tuple as the target is.
Value Evaluator::Targets(const Expr& target, Frame* frame) {
  if (target.kind == ExprKind::kName) return At(frame, target.place);
  std::vector<Value> values;
  for (const ExprPtr& item : target.operands) values.push_back(Targets(*item, frame));
  return NewTuple(std::move(values));
}

Result<bool> Evaluator::Peek(Loop* loop) {
  if (loop->has_peeked) return true;
  Value value;
  GYRATOR_ASSIGN_OR_RETURN(const bool pulled, Pull(loop, &value));
  loop->has_peeked = pulled;
  loop->peeked = std::move(value);
  return pulled;
}

Result<int64_t> Evaluator::LoopLength(Loop* loop) {
  if (loop->length >= 0) return loop->length;
  const bool had_peeked = loop->has_peeked;
  Value peeked = loop->peeked;
  loop->has_peeked = false;
  std::vector<Value> rest;
  while (true) {
    Value value;
    GYRATOR_ASSIGN_OR_RETURN(const bool pulled, Pull(loop, &value));
    if (!pulled) break;
    rest.push_back(std::move(value));
  }
  loop->source = std::move(rest);
  loop->next = 0;
  loop->drained = true;
  loop->has_peeked = had_peeked;
  loop->peeked = std::move(peeked);
  loop->length = static_cast<int64_t>(loop->source.size()) + loop->index0 + 1 + had_peeked;
  return loop->length;
}

Result<Value> Evaluator::LoopAttribute(const Value& value, std::string_view name) {
  Loop& loop = value.As<Loop>();
  if (name == "index") return Value::Int(loop.index0 + 1);
  if (name == "index0") return Value::Int(loop.index0);
  if (name == "first") return Value::Bool(loop.index0 == 0);
  if (name == "depth") return Value::Int(loop.depth0 + 1);
  if (name == "depth0") return Value::Int(loop.depth0);
  if (name == "previtem") {
    return loop.index0 == 0 ? Value::Undefined("there is no previous item") : loop.previous;
  }
  if (name == "last" || name == "nextitem") {
    GYRATOR_ASSIGN_OR_RETURN(const bool more, Peek(&loop));
    if (name == "last") return Value::Bool(!more);
    return more ? loop.peeked : Value::Undefined("there is no next item");
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    GYRATOR_ASSIGN_OR_RETURN(const int64_t length, LoopLength(&loop));
    if (name == "length") return Value::Int(length);
    return Value::Int(length - loop.index0 - (name == "revindex0" ? 1 : 0));
  }
  return Value();
}

// `loop(children)` inside a recursive loop: the same statement one level deeper.
Result<Value> Evaluator::CallLoop(const Value& value, const Args& args) {
  Loop& loop = value.As<Loop>();
  if (!loop.stmt->recursive) {
    return EvaluationError("the loop must have the 'recursive' marker to be called recursively");
  }
  if (args.positional.size() != 1 || !args.named.empty()) {
    return EvaluationError("loop() takes exactly one argument");
  }
  GYRATOR_ASSIGN_OR_RETURN(Loop * inner,
                           NewLoop(*loop.stmt, loop.outer, args.positional[0], loop.depth0 + 1));
  std::string around = std::exchange(output_, std::string());
  Flow flow = Flow::kNext;
  const Status status = RunLoop(inner, &flow);
  std::string text = std::exchange(output_, std::move(around));
  if (!status.ok()) return status;
  return NewString(std::move(text));
}

}  // namespace gyrator::jinja

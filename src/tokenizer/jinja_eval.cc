#include "tokenizer/jinja_eval.h"

#include <fmt/format.h>

#include <utility>

#include "tokenizer/jinja_print.h"

namespace gyrator::jinja {

Result<std::string> Evaluator::Render(const TemplateTree& tree) {
  Frame* root = NewFrame(tree.frame, nullptr);
  Flow flow = Flow::kNext;
  Status status = Run(tree.body, root, &flow);
  if (status.ok() && budget().exhausted()) status = Fail(line_, budget().status());
  if (status.ok()) return std::move(output_);
  if (status.name() == "template_exception") return status;
  return std::move(status).Annotate(fmt::format("line {}", error_line_));
}

Status Evaluator::Enter(int line) {
  line_ = line;
  if (depth_ > limits_.depth_max) {
    return Fail(
        line, Status::Exhausted(fmt::format("calls are nested deeper than {}", limits_.depth_max)));
  }
  return budget().Step() ? Status() : Fail(line, budget().status());
}

Status Evaluator::Fail(int line, Status status) {
  if (error_line_ == 0) error_line_ = line;
  return status;
}

void Evaluator::Write(std::string_view text) {
  if (budget().Bytes(text.size())) output_.append(text);
}

Frame* Evaluator::NewFrame(const FrameLayout& layout, Frame* outer) {
  Frame* frame = New<Frame>();
  budget().Bytes(layout.slots.size() * sizeof(Value));
  frame->outer = outer;
  frame->slots.resize(layout.slots.size());
  Start(layout, frame);
  return frame;
}

void Evaluator::Start(const FrameLayout& layout, Frame* frame) {
  for (size_t i = 0; i < layout.slots.size(); ++i) {
    const auto& slot = layout.slots[i];
    Value& value = frame->slots[i];
    switch (slot.start) {
      case Slot::Start::kParameter:
      case Slot::Start::kMissing:
        value = Value();
        break;
      case Slot::Start::kCopy:
        value = At(frame->outer, slot.source);
        break;
      case Slot::Start::kVariable: {
        const Value* variable = variables_->Find(slot.name);
        const Builtin* function = variable == nullptr ? FindFunction(slot.name) : nullptr;
        value = variable != nullptr   ? *variable
                : function != nullptr ? Value::Function(function)
                                      : Value();
        break;
      }
    }
  }
}

Value& Evaluator::At(Frame* frame, Place place) {
  for (int i = 0; i < place.hops; ++i) frame = frame->outer;
  return frame->slots[static_cast<size_t>(place.slot)];
}

Status Evaluator::Run(const Block& block, Frame* frame, Flow* flow) {
  for (const auto& stmt : block) {
    GYRATOR_RETURN_IF_ERROR(RunStatement(*stmt, frame, flow));
    if (*flow != Flow::kNext) break;
  }
  return {};
}

Status Evaluator::RunStatement(const Stmt& stmt, Frame* frame, Flow* flow) {
  const DepthGuard guard(this);
  GYRATOR_RETURN_IF_ERROR(Enter(stmt.line));
  switch (stmt.kind) {
    case StmtKind::kText:
      Write(stmt.text);
      return {};
    case StmtKind::kOutput:
      return RunOutput(stmt, frame);
    case StmtKind::kIf:
      return RunIf(stmt, frame, flow);
    case StmtKind::kFor:
      return RunFor(stmt, frame, flow);
    case StmtKind::kSet: {
      GYRATOR_RETURN_IF_ERROR(CheckNamespaces(*stmt.target, frame));
      GYRATOR_ASSIGN_OR_RETURN(Value value, Eval(*stmt.value, frame));
      return Assign(*stmt.target, std::move(value), frame);
    }
    case StmtKind::kSetBlock:
      return RunSetBlock(stmt, frame, flow);
    case StmtKind::kMacro: {
      Macro* macro = New<Macro>();
      macro->definition = stmt.macro.get();
      macro->outer = frame;
      return Assign(*stmt.target, Value::Of(Kind::kMacro, macro), frame);
    }
    case StmtKind::kCallBlock:
      return RunCallBlock(stmt, frame);
    case StmtKind::kFilterBlock:
      return RunFilterBlock(stmt, frame, flow);
    case StmtKind::kWith:
      return RunWith(stmt, frame, flow);
    case StmtKind::kBreak:
      *flow = Flow::kBreak;
      return {};
    case StmtKind::kContinue:
      *flow = Flow::kContinue;
      return {};
    case StmtKind::kScope:
      return Run(stmt.body, NewFrame(stmt.frame, frame), flow);
  }
  return {};
}

Status Evaluator::RunOutput(const Stmt& stmt, Frame* frame) {
  for (const ExprPtr& expr : stmt.expressions) {
    GYRATOR_ASSIGN_OR_RETURN(const Value value, Eval(*expr, frame));
    if (value.Is(Kind::kString))
      Write(value.text());
    else
      Write(Str(value));
  }
  return {};
}

Status Evaluator::RunIf(const Stmt& stmt, Frame* frame, Flow* flow) {
  for (const Branch& branch : stmt.branches) {
    GYRATOR_ASSIGN_OR_RETURN(const Value test, Eval(*branch.test, frame));
    if (Truth(test)) return Run(branch.body, frame, flow);
  }
  return Run(stmt.otherwise, frame, flow);
}

Status Evaluator::RunFor(const Stmt& stmt, Frame* frame, Flow* flow) {
  GYRATOR_ASSIGN_OR_RETURN(const Value iterable, Eval(*stmt.value, frame));
  Result<Loop*> loop = NewLoop(stmt, frame, iterable, 0);
  if (!loop.ok()) return Fail(stmt.line, loop.status());
  return RunLoop(*loop, flow);
}

Status Evaluator::RunLoop(Loop* loop, Flow* flow) {
  const Stmt& stmt = *loop->stmt;
  Frame* frame = NewFrame(stmt.frame, loop->outer);
  bool finished = false;  // a round reached the end of the body, without a break or a continue
  while (true) {
    Value item;
    Result<bool> pulled = Pull(loop, &item);
    if (!pulled.ok()) return Fail(stmt.line, pulled.status());
    if (!*pulled) break;
    GYRATOR_RETURN_IF_ERROR(Enter(stmt.line));
    ++loop->index0;
    loop->previous = std::exchange(loop->current, item);
    Start(stmt.frame, frame);
    frame->slots[0] = Value::Of(Kind::kLoop, loop);
    GYRATOR_RETURN_IF_ERROR(Assign(*stmt.target, std::move(item), frame));
    Flow body_flow = Flow::kNext;
    GYRATOR_RETURN_IF_ERROR(Run(stmt.body, frame, &body_flow));
    if (body_flow == Flow::kBreak) break;
    finished = finished || body_flow == Flow::kNext;
  }
  for (Value& slot : frame->slots) slot = Value();
  if (finished || stmt.otherwise.empty()) return {};
  return Run(stmt.otherwise, NewFrame(stmt.otherwise_frame, loop->outer), flow);
}

Result<std::string> Evaluator::Capture(const Block& block, Frame* frame, Flow* flow) {
  std::string around = std::exchange(output_, std::string());
  const Status status = Run(block, frame, flow);
  std::string captured = std::exchange(output_, std::move(around));
  if (!status.ok()) return status;
  return captured;
}

Status Evaluator::RunSetBlock(const Stmt& stmt, Frame* frame, Flow* flow) {
  Frame* inner = NewFrame(stmt.frame, frame);
  GYRATOR_ASSIGN_OR_RETURN(std::string text, Capture(stmt.body, inner, flow));
  if (*flow != Flow::kNext) return {};
  Value value = NewString(std::move(text));
  if (stmt.value) {
    GYRATOR_ASSIGN_OR_RETURN(value, ApplyFilters(*stmt.value, inner, value));
  }
  return Assign(*stmt.target, std::move(value), frame);
}

Status Evaluator::RunFilterBlock(const Stmt& stmt, Frame* frame, Flow* flow) {
  Frame* inner = NewFrame(stmt.frame, frame);
  GYRATOR_ASSIGN_OR_RETURN(std::string text, Capture(stmt.body, inner, flow));
  if (*flow != Flow::kNext) return {};
  GYRATOR_ASSIGN_OR_RETURN(const Value value,
                           ApplyFilters(*stmt.value, inner, NewString(std::move(text))));
  Write(Str(value));
  return {};
}

Status Evaluator::RunCallBlock(const Stmt& stmt, Frame* frame) {
  Macro* macro = New<Macro>();
  macro->definition = stmt.macro.get();
  macro->outer = frame;
  const Value caller = Value::Of(Kind::kMacro, macro);
  Result<Value> value = EvalCall(*stmt.value, frame, &caller);
  if (!value.ok()) return Fail(stmt.line, value.status());
  Write(Str(*value));
  return {};
}

Status Evaluator::RunWith(const Stmt& stmt, Frame* frame, Flow* flow) {
  Frame* inner = NewFrame(stmt.frame, frame);
  for (size_t i = 0; i < stmt.expressions.size(); i += 2) {
    GYRATOR_ASSIGN_OR_RETURN(Value value, Eval(*stmt.expressions[i + 1], frame));
    GYRATOR_RETURN_IF_ERROR(Assign(*stmt.expressions[i], std::move(value), inner));
  }
  return Run(stmt.body, inner, flow);
}

Status Evaluator::CheckNamespaces(const Expr& target, Frame* frame) {
  if (target.kind == ExprKind::kNamespace && !At(frame, target.place).Is(Kind::kNamespace)) {
    return Fail(target.line, EvaluationError("cannot assign attribute on non-namespace object"));
  }
  for (const ExprPtr& item : target.operands) {
    GYRATOR_RETURN_IF_ERROR(CheckNamespaces(*item, frame));
  }
  return {};
}

Status Evaluator::Assign(const Expr& target, Value value, Frame* frame) {
  if (target.kind == ExprKind::kName) {
    At(frame, target.place) = std::move(value);
    return {};
  }
  if (target.kind == ExprKind::kNamespace) {
    if (target.attribute.starts_with('_')) {
      return Fail(target.line, EvaluationError(fmt::format(
                                   "a namespace cannot store the underscore-prefixed attribute {}",
                                   Quote(target.attribute))));
    }
    const Value name = NewString(target.attribute);
    At(frame, target.place).As<Namespace>().attributes.Set(name, std::move(value));
    return {};
  }
  Result<std::vector<Value>> items = Items(value);
  if (!items.ok()) return Fail(target.line, items.status());
  if (items->size() != target.operands.size()) {
    return Fail(target.line, EvaluationError(fmt::format(
                                 "{} values to unpack (expected {}, got {})",
                                 items->size() < target.operands.size() ? "not enough" : "too many",
                                 target.operands.size(), items->size())));
  }
  for (size_t i = 0; i < items->size(); ++i) {
    GYRATOR_RETURN_IF_ERROR(Assign(*target.operands[i], std::move((*items)[i]), frame));
  }
  return {};
}

}  // namespace gyrator::jinja

// Runs a template: one Evaluator, one render.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "gyrator/status.h"
#include "tokenizer/jinja_ast.h"
#include "tokenizer/jinja_runtime.h"

namespace gyrator::jinja {

// The variables of one scope while it runs.
struct Frame : Entity {
  Frame* outer = nullptr;
  std::vector<Value> slots;
};

struct Macro : Entity {
  const MacroDefinition* definition = nullptr;
  Frame* outer = nullptr;
};

// A running `for`. Elements are pulled one by one, because the test of `for x in y if test` may
// depend on what the body did before.
struct Loop : Entity {
  const Stmt* stmt = nullptr;
  Frame* outer = nullptr;
  std::vector<Value> source;
  size_t next = 0;
  bool drained = false;     // what is left of `source` has passed the test
  bool has_peeked = false;  // `peeked` is the element after the current one
  Value peeked;
  int64_t index0 = -1;
  int64_t depth0 = 0;
  int64_t length = -1;  // -1: not known yet
  Value previous, current;
  Value last_changed;
};

class Evaluator final : public Runtime {
 public:
  // `variables` and `now` (may be nullptr: the machine's clock) must outlive the evaluator.
  Evaluator(const DictObject* variables, const std::tm* now, const Limits& limits)
      : Runtime(limits), limits_(limits), variables_(variables), now_(now) {}

  // Once. kInvalidArgument: raise_exception (stable name "template_exception", its text alone) or
  // an evaluation error ("template_error", with the line). kExhausted, kUnsupported with the line.
  Result<std::string> Render(const TemplateTree& tree);

  Result<Value> LoopAttribute(const Value& loop, std::string_view name) override;
  const std::tm* now() const override { return now_; }

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // Counts nested evaluations while it lives.
  class DepthGuard {
   public:
    explicit DepthGuard(Evaluator* evaluator) : evaluator_(evaluator) { ++evaluator_->depth_; }
    ~DepthGuard() { --evaluator_->depth_; }
    DepthGuard(const DepthGuard&) = delete;
    DepthGuard& operator=(const DepthGuard&) = delete;

   private:
    Evaluator* evaluator_;
  };

  // Statements (jinja_eval.cc). A failure remembers the line of the innermost node.
  Status Enter(int line);
  Status Fail(int line, Status status);
  Status Run(const Block& block, Frame* frame, Flow* flow);
  Status RunStatement(const Stmt& stmt, Frame* frame, Flow* flow);
  Status RunOutput(const Stmt& stmt, Frame* frame);
  Status RunIf(const Stmt& stmt, Frame* frame, Flow* flow);
  Status RunFor(const Stmt& stmt, Frame* frame, Flow* flow);
  Status RunLoop(Loop* loop, Flow* flow);
  Status RunSetBlock(const Stmt& stmt, Frame* frame, Flow* flow);
  Status RunCallBlock(const Stmt& stmt, Frame* frame);
  Status RunFilterBlock(const Stmt& stmt, Frame* frame, Flow* flow);
  Status RunWith(const Stmt& stmt, Frame* frame, Flow* flow);
  // Runs the block and returns what it wrote.
  Result<std::string> Capture(const Block& block, Frame* frame, Flow* flow);
  void Write(std::string_view text);
  Status Assign(const Expr& target, Value value, Frame* frame);
  Status CheckNamespaces(const Expr& target, Frame* frame);

  Frame* NewFrame(const FrameLayout& layout, Frame* outer);
  void Start(const FrameLayout& layout, Frame* frame);
  static Value& At(Frame* frame, Place place);

  // Loops.
  Result<Loop*> NewLoop(const Stmt& stmt, Frame* outer, const Value& iterable, int64_t depth0);
  Result<bool> Pull(Loop* loop, Value* out);
  Value Targets(const Expr& target, Frame* frame);
  Result<bool> Peek(Loop* loop);
  Result<int64_t> LoopLength(Loop* loop);
  Result<Value> CallLoop(const Value& loop, const Args& args);

  // Expressions (jinja_eval_expr.cc).
  Result<Value> Eval(const Expr& expr, Frame* frame);
  Result<Value> EvalNode(const Expr& expr, Frame* frame);
  Result<Value> EvalName(const Expr& expr, Frame* frame);
  Result<std::vector<Value>> EvalOperands(const Expr& expr, Frame* frame);
  Result<Value> EvalDict(const Expr& expr, Frame* frame);
  Result<Value> EvalCompare(const Expr& expr, Frame* frame);
  Result<Value> EvalConcat(const Expr& expr, Frame* frame);
  Result<Value> EvalSlice(const Expr& expr, Frame* frame);
  Result<Value> EvalCall(const Expr& expr, Frame* frame, const Value* caller);
  // A filter or test; `input` stands for a null operand.
  Result<Value> EvalBuiltin(const Expr& expr, Frame* frame, const Value* input);
  Result<Args> EvalArguments(const CallArguments& call, Frame* frame);
  // The filters of a filter block or set block over what the block wrote.
  Result<Value> ApplyFilters(const Expr& filters, Frame* frame, const Value& input);
  Result<Value> Call(const Value& callee, Args args);
  Result<Value> CallMacro(Macro* macro, Args args);
  Status BindMacro(Macro* macro, Args args, Frame* frame);

  const Limits limits_;
  const DictObject* variables_;
  const std::tm* now_;
  std::string output_;  // of the innermost capture
  int depth_ = 0;
  int line_ = 0;        // of the node that runs
  int error_line_ = 0;  // of the node that failed
};

}  // namespace gyrator::jinja

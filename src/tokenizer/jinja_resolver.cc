#include "tokenizer/jinja_resolver.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "tokenizer/jinja_lexer.h"
#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_runtime.h"

namespace gyrator::jinja {

namespace {

// One scope while it is resolved; `outer` is complete then.
struct Scope {
  FrameLayout* layout;
  Scope* outer;
  MacroDefinition* macro = nullptr;  // set where the scope is a macro's body
};

std::optional<int> FindSlot(const FrameLayout& layout, std::string_view name) {
  for (size_t i = 0; i < layout.slots.size(); ++i) {
    if (layout.slots[i].name == name) return static_cast<int>(i);
  }
  return std::nullopt;
}

std::optional<Place> FindPlace(const Scope* scope, std::string_view name) {
  for (int hops = 0; scope != nullptr; scope = scope->outer, ++hops) {
    if (const auto slot = FindSlot(*scope->layout, name)) return Place{hops, *slot};
  }
  return std::nullopt;
}

int AddSlot(Scope* scope, std::string_view name, Slot::Start start, Place source = {}) {
  scope->layout->slots.push_back({std::string(name), start, source});
  return static_cast<int>(scope->layout->slots.size()) - 1;
}

template <class Visit>
Status ForEachOperand(Expr* expr, Visit visit) {
  for (const ExprPtr& operand : expr->operands) {
    if (operand) GYRATOR_RETURN_IF_ERROR(visit(operand.get()));
  }
  if (!expr->call) return {};
  for (const ExprPtr& argument : expr->call->positional) {
    GYRATOR_RETURN_IF_ERROR(visit(argument.get()));
  }
  for (const auto& named : expr->call->named) GYRATOR_RETURN_IF_ERROR(visit(named.second.get()));
  if (expr->call->star) GYRATOR_RETURN_IF_ERROR(visit(expr->call->star.get()));
  if (expr->call->star_star) GYRATOR_RETURN_IF_ERROR(visit(expr->call->star_star.get()));
  return {};
}

// First walk over a scope: which names are its own. Does not enter the scopes inside.
class SlotCollector {
 public:
  explicit SlotCollector(Scope* scope) : scope_(scope) {}

  void Load(const Expr* expr) {
    if (expr == nullptr) return;
    if (expr->kind == ExprKind::kName || expr->kind == ExprKind::kNamespace) LoadName(expr->text);
    const Status always_ok = ForEachOperand(const_cast<Expr*>(expr), [&](Expr* operand) {
      Load(operand);
      return Status();
    });
    (void)always_ok;
  }

  void Store(const Expr& target) {
    if (target.kind == ExprKind::kNamespace) return LoadName(target.text);
    if (target.kind == ExprKind::kName) return StoreName(target.text);
    for (const ExprPtr& item : target.operands) Store(*item);
  }

  void Parameter(const Expr& target) {
    if (target.kind == ExprKind::kName) {
      if (!FindSlot(*scope_->layout, target.text)) {
        AddSlot(scope_, target.text, Slot::Start::kParameter);
      }
      return;
    }
    for (const ExprPtr& item : target.operands) Parameter(*item);
  }

  void Visit(const Block& block) {
    for (const auto& stmt : block) Visit(*stmt);
  }

 private:
  void Visit(const Stmt& stmt) {
    switch (stmt.kind) {
      case StmtKind::kOutput:
        for (const ExprPtr& expr : stmt.expressions) Load(expr.get());
        break;
      case StmtKind::kIf:
        VisitIf(stmt);
        break;
      case StmtKind::kFor:
        Load(stmt.value.get());
        break;
      case StmtKind::kSet:
        Load(stmt.value.get());
        Store(*stmt.target);
        break;
      case StmtKind::kSetBlock:
      case StmtKind::kMacro:
        Store(*stmt.target);
        break;
      case StmtKind::kCallBlock:
      case StmtKind::kFilterBlock:
        Load(stmt.value.get());
        break;
      case StmtKind::kWith:
        for (size_t i = 1; i < stmt.expressions.size(); i += 2) Load(stmt.expressions[i].get());
        break;
      default:
        break;
    }
  }

  // What only a branch sets begins as the variable around, because the branch may not be taken.
  void VisitIf(const Stmt& stmt) {
    const std::set<std::string> stored_before = stored_;
    for (const Branch& branch : stmt.branches) {
      Load(branch.test.get());
      Visit(branch.body);
    }
    Visit(stmt.otherwise);
    for (const std::string& name : stored_) {
      if (stored_before.contains(name)) continue;
      Slot& slot = scope_->layout->slots[static_cast<size_t>(*FindSlot(*scope_->layout, name))];
      if (slot.start == Slot::Start::kMissing) slot.start = Slot::Start::kVariable;
    }
  }

  void LoadName(const std::string& name) {
    if (DeclareSpecial(name)) return;
    if (!FindPlace(scope_, name)) AddSlot(scope_, name, Slot::Start::kVariable);
  }

  void StoreName(const std::string& name) {
    stored_.insert(name);
    if (FindSlot(*scope_->layout, name)) return;
    const auto outer = FindPlace(scope_->outer, name);
    if (outer)
      AddSlot(scope_, name, Slot::Start::kCopy, *outer);
    else
      AddSlot(scope_, name, Slot::Start::kMissing);
  }

  // `caller`, `kwargs` and `varargs` belong to the nearest macro that reads without setting them.
  bool DeclareSpecial(const std::string& name) {
    int MacroDefinition::* const slot = name == "caller"    ? &MacroDefinition::caller_slot
                                        : name == "kwargs"  ? &MacroDefinition::kwargs_slot
                                        : name == "varargs" ? &MacroDefinition::varargs_slot
                                                            : nullptr;
    if (slot == nullptr) return false;
    for (Scope* scope = scope_; scope != nullptr; scope = scope->outer) {
      if (FindSlot(*scope->layout, name)) return true;
      if (scope->macro == nullptr) continue;
      scope->macro->*slot = AddSlot(scope, name, Slot::Start::kParameter);
      return true;
    }
    return false;
  }

  Scope* scope_;
  std::set<std::string> stored_;
};

// Second walk: places and builtins, scope by scope from the outside in.
class Resolver {
 public:
  Status Visit(Block* block, Scope* scope, bool in_if) {
    for (const auto& stmt : *block) GYRATOR_RETURN_IF_ERROR(Visit(stmt.get(), scope, in_if));
    return {};
  }

 private:
  Status Visit(Stmt* stmt, Scope* scope, bool in_if) {
    switch (stmt->kind) {
      case StmtKind::kOutput:
        for (const ExprPtr& expr : stmt->expressions) {
          GYRATOR_RETURN_IF_ERROR(Visit(expr.get(), scope, in_if));
        }
        return {};
      case StmtKind::kIf:
        for (Branch& branch : stmt->branches) {
          GYRATOR_RETURN_IF_ERROR(Visit(branch.test.get(), scope, true));
          GYRATOR_RETURN_IF_ERROR(Visit(&branch.body, scope, true));
        }
        return Visit(&stmt->otherwise, scope, true);
      case StmtKind::kFor:
        return VisitFor(stmt, scope, in_if);
      case StmtKind::kSet:
        GYRATOR_RETURN_IF_ERROR(Visit(stmt->value.get(), scope, in_if));
        return Visit(stmt->target.get(), scope, in_if);
      case StmtKind::kMacro:
        GYRATOR_RETURN_IF_ERROR(Visit(stmt->target.get(), scope, in_if));
        return VisitMacro(stmt->macro.get(), scope);
      case StmtKind::kCallBlock:
        GYRATOR_RETURN_IF_ERROR(VisitMacro(stmt->macro.get(), scope));
        return Visit(stmt->value.get(), scope, in_if);
      case StmtKind::kSetBlock:
        GYRATOR_RETURN_IF_ERROR(Visit(stmt->target.get(), scope, in_if));
        return VisitCapture(stmt, scope);
      case StmtKind::kFilterBlock:
        return VisitCapture(stmt, scope);
      case StmtKind::kScope:
        return VisitCapture(stmt, scope);
      case StmtKind::kWith:
        return VisitWith(stmt, scope, in_if);
      default:
        return {};
    }
  }

  Status VisitFor(Stmt* stmt, Scope* scope, bool in_if) {
    GYRATOR_RETURN_IF_ERROR(Visit(stmt->value.get(), scope, in_if));
    Scope body{&stmt->frame, scope};
    AddSlot(&body, "loop", Slot::Start::kParameter);
    SlotCollector collector(&body);
    collector.Parameter(*stmt->target);
    collector.Visit(stmt->body);
    if (stmt->test) {
      Scope test{&stmt->test_frame, scope};
      AddSlot(&test, "", Slot::Start::kParameter);  // the target's slots as in the body's frame
      SlotCollector test_collector(&test);
      test_collector.Parameter(*stmt->target);
      test_collector.Load(stmt->test.get());
      GYRATOR_RETURN_IF_ERROR(Visit(stmt->test.get(), &test, false));
    }
    GYRATOR_RETURN_IF_ERROR(Visit(stmt->target.get(), &body, false));
    GYRATOR_RETURN_IF_ERROR(Visit(&stmt->body, &body, false));
    Scope otherwise{&stmt->otherwise_frame, scope};
    SlotCollector(&otherwise).Visit(stmt->otherwise);
    return Visit(&stmt->otherwise, &otherwise, false);
  }

  Status VisitMacro(MacroDefinition* macro, Scope* scope) {
    Scope body{&macro->frame, scope, macro};
    for (const std::string& name : macro->parameters) {
      AddSlot(&body, name, Slot::Start::kParameter);
    }
    SlotCollector collector(&body);
    for (const ExprPtr& expr : macro->defaults) collector.Load(expr.get());
    collector.Visit(macro->body);
    for (const ExprPtr& expr : macro->defaults) {
      GYRATOR_RETURN_IF_ERROR(Visit(expr.get(), &body, false));
    }
    return Visit(&macro->body, &body, false);
  }

  // A set block, filter block or plain scope; the filters see the names of the body.
  Status VisitCapture(Stmt* stmt, Scope* scope) {
    Scope body{&stmt->frame, scope};
    SlotCollector collector(&body);
    collector.Visit(stmt->body);
    collector.Load(stmt->value.get());
    if (stmt->value) GYRATOR_RETURN_IF_ERROR(Visit(stmt->value.get(), &body, false));
    return Visit(&stmt->body, &body, false);
  }

  Status VisitWith(Stmt* stmt, Scope* scope, bool in_if) {
    Scope body{&stmt->frame, scope};
    SlotCollector collector(&body);
    for (size_t i = 0; i < stmt->expressions.size(); i += 2) {
      collector.Parameter(*stmt->expressions[i]);
    }
    collector.Visit(stmt->body);
    for (size_t i = 0; i < stmt->expressions.size(); ++i) {
      Scope* const place = i % 2 == 0 ? &body : scope;
      GYRATOR_RETURN_IF_ERROR(Visit(stmt->expressions[i].get(), place, in_if));
    }
    return Visit(&stmt->body, &body, false);
  }

  Status Visit(Expr* expr, Scope* scope, bool in_if) {
    switch (expr->kind) {
      case ExprKind::kName:
      case ExprKind::kNamespace:
        // Every name was given a slot by the walk over its scope.
        expr->place = FindPlace(scope, expr->text).value_or(Place{});
        return {};
      case ExprKind::kFilter:
        expr->builtin = FindFilter(expr->text);
        break;
      case ExprKind::kTest:
        expr->builtin = FindTest(expr->text);
        break;
      default:
        break;
    }
    const bool named = expr->kind == ExprKind::kFilter || expr->kind == ExprKind::kTest;
    if (named && expr->builtin == nullptr && !in_if) {
      return Status::Unsupported(fmt::format("line {}: no {} named {}", expr->line,
                                             expr->kind == ExprKind::kFilter ? "filter" : "test",
                                             Quote(expr->text)));
    }
    const bool soft = in_if || expr->kind == ExprKind::kConditional;
    return ForEachOperand(expr, [&](Expr* operand) { return Visit(operand, scope, soft); });
  }
};

}  // namespace

Status Resolve(TemplateTree* tree) {
  Scope root{&tree->frame, nullptr};
  SlotCollector(&root).Visit(tree->body);
  return Resolver().Visit(&tree->body, &root, /*in_if=*/false);
}

}  // namespace gyrator::jinja

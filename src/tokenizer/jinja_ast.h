// The tree of a parsed template. Built by jinja_parser, completed by jinja_resolver (where names
// live, which builtin a filter or test is), walked by jinja_eval. Immutable after that.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/jinja_value.h"

namespace gyrator::jinja {

struct Builtin;
struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// Where a variable lives: `slot` of the frame `hops` steps out.
struct Place {
  int hops = 0;
  int slot = 0;
};

enum class ExprKind : uint8_t {
  kConst,        // value
  kName,         // text, place
  kNamespace,    // a target `text.attribute`; place of `text`
  kTuple,        // operands
  kList,         // operands
  kDict,         // operands: key, value, key, value ...
  kBinary,       // text: the operator; operands: left, right
  kUnary,        // text: "+", "-", "not"; operand
  kAnd,          // operands: left, right
  kOr,           // operands: left, right
  kConcat,       // operands
  kCompare,      // operands: first, and one for each of `operators`
  kConditional,  // operands: test, then, else (may be null)
  kAttribute,    // text; operand
  kItem,         // operands: value, key
  kSlice,        // operands: value, start, stop, step (each of the three may be null)
  kCall,         // operand: callee; call
  kFilter,       // text; operand: value (null in a filter block); call; builtin
  kTest,         // text; operand: value; call; builtin
};

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;       // *x, may be null
  ExprPtr star_star;  // **x, may be null
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  int line = 0;
  int height = 1;  // of the tree below: bounds recursion
  std::string text;
  std::string attribute;
  Value value;
  std::vector<ExprPtr> operands;
  std::vector<std::string> operators;
  std::unique_ptr<CallArguments> call;

  // Of the resolver.
  Place place;
  const Builtin* builtin = nullptr;
};

// How a slot begins when its frame is entered.
struct Slot {
  enum class Start : uint8_t {
    kParameter,  // set by the statement
    kVariable,   // the render's variable of this name, or missing
    kCopy,       // the value at `source`, seen from the frame around
    kMissing,
  };
  std::string name;
  Start start = Start::kMissing;
  Place source;
};
// The variables of one scope. Jinja decides scopes when it compiles: a name that is set anywhere in
// a scope belongs to it from its beginning.
struct FrameLayout {
  std::vector<Slot> slots;
};

enum class StmtKind : uint8_t {
  kText,       // text
  kOutput,     // expressions
  kIf,         // branches, otherwise
  kFor,        // target, value (iterable), test (may be null), body, otherwise; frame, test_frame,
               // otherwise_frame; slot 0 of frame: loop
  kSet,        // target, value
  kSetBlock,   // target, value (a filter chain on null, or null), body; frame
  kMacro,      // macro, target (its name)
  kCallBlock,  // macro (the caller), value (the call)
  kFilterBlock,  // value (a filter chain on null), body; frame
  kWith,         // expressions: target, value, target, value ...; body; frame
  kBreak,
  kContinue,
  kScope,  // body; frame: {% generation %}
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

// A macro, or the body of a call block.
struct MacroDefinition {
  std::string name;
  std::vector<std::string> parameters;  // the first slots of `frame`
  std::vector<ExprPtr> defaults;        // of the last parameters
  Block body;
  FrameLayout frame;
  // Slots of the special variables that the body reads; -1 where it does not.
  int caller_slot = -1;
  int kwargs_slot = -1;
  int varargs_slot = -1;
};

struct Branch {
  ExprPtr test;
  Block body;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  std::string text;
  ExprPtr target;
  ExprPtr value;
  ExprPtr test;
  std::vector<ExprPtr> expressions;
  std::vector<Branch> branches;
  Block body;
  Block otherwise;
  bool recursive = false;
  FrameLayout frame;
  FrameLayout test_frame;
  FrameLayout otherwise_frame;
  std::unique_ptr<MacroDefinition> macro;
};

struct TemplateTree {
  Block body;
  FrameLayout frame;
};

}  // namespace gyrator::jinja

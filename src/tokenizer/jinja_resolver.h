// Decides what every name of a template means before it runs: the slot of each variable, by
// Jinja2's rules of scope, and the builtin of each filter and test.
//
// A name that is set anywhere in a scope is that scope's own from its beginning (until then it has
// the value of the scope around, or none); `if` is no scope, `for`, macro, call, filter, set block,
// with and generation are.
#pragma once

#include "gyrator/status.h"
#include "tokenizer/jinja_ast.h"

namespace gyrator::jinja {

// kUnsupported names an unknown filter or test, except directly inside `if`, where Jinja allows it
// and the use fails at run time. kCorruption: an assignment to `loop` inside a loop.
Status Resolve(TemplateTree* tree);

}  // namespace gyrator::jinja

// Tokens to a tree, by Jinja2's grammar with the tags that transformers turns on: if, for, set,
// macro, call, filter, with, print, break, continue, generation.
#pragma once

#include <memory>
#include <string_view>

#include "gyrator/status.h"
#include "tokenizer/jinja_ast.h"

namespace gyrator::jinja {

// Tokenizes, parses and resolves (jinja_resolver.h). kCorruption with the line for a syntax error,
// kUnsupported names an unknown tag, filter or test, kExhausted for expressions or blocks that are
// nested too deep.
Result<std::unique_ptr<const TemplateTree>> ParseTemplate(std::string_view source);

}  // namespace gyrator::jinja

// The expressions of the grammar: one function a level of precedence, as in Jinja2.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gyrator/status.h"
#include "tokenizer/jinja_ast.h"
#include "tokenizer/jinja_lexer.h"

namespace gyrator::jinja {

// Reads tokens front to back.
class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token Take() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool SkipName(std::string_view name);
  bool SkipOperator(std::string_view op);
  Status ExpectName(std::string_view name);
  Status ExpectOperator(std::string_view op);
  Status Expect(TokenType type);
  Result<std::string> TakeName();
  // "line 3: unexpected 'x'".
  Status Unexpected() const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream* tokens) : tokens_(tokens) {}

  // An expression; with `conditional` false, "x if y" is not part of it.
  Result<ExprPtr> Expression(bool conditional = true);
  // An expression or, where commas follow, a tuple. `end` is a name that ends it ("in").
  Result<ExprPtr> ExpressionOrTuple(bool conditional = true, std::string_view end = "");
  // What can be assigned to: names, tuples of names, `namespace.attribute` where allowed.
  Result<ExprPtr> Target(bool with_namespace, std::string_view end = "");
  // "|a|b(1)" on `value`, which may be null. With `inline_start` the first "|" is left out.
  Result<ExprPtr> Filters(ExprPtr value, bool inline_start);

 private:
  Result<ExprPtr> Conditional();
  Result<ExprPtr> Or();
  Result<ExprPtr> And();
  Result<ExprPtr> Not();
  Result<ExprPtr> Comparison();
  Result<ExprPtr> Sum();
  Result<ExprPtr> Concatenation();
  Result<ExprPtr> Product();
  Result<ExprPtr> Power();
  Result<ExprPtr> Unary(bool with_filters);
  Result<ExprPtr> Primary(bool with_namespace);
  Result<ExprPtr> TargetTuple(bool with_namespace, std::string_view end);
  Result<ExprPtr> NameOrLiteral(bool with_namespace);
  Result<ExprPtr> Number();
  Result<ExprPtr> Parenthesized();
  Result<ExprPtr> ListLiteral();
  Result<ExprPtr> DictLiteral();
  Result<ExprPtr> Postfix(ExprPtr value);
  Result<ExprPtr> FiltersAndTests(ExprPtr value);
  Result<ExprPtr> Subscript(ExprPtr value);
  Result<ExprPtr> SubscriptKey(ExprPtr value);
  Result<ExprPtr> Call(ExprPtr callee);
  Result<ExprPtr> Test(ExprPtr value);
  Result<std::unique_ptr<CallArguments>> Arguments();
  Status Argument(CallArguments* call);
  Result<std::string> DottedName();
  bool AtTupleEnd(std::string_view end) const;
  // Adds an operand; kExhausted when the tree gets too high.
  Result<ExprPtr> Node(ExprPtr node);

  TokenStream* tokens_;
  int depth_ = 0;
};

}  // namespace gyrator::jinja

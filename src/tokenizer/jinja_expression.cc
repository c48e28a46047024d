#include "tokenizer/jinja_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>

#include "tokenizer/jinja_print.h"

namespace gyrator::jinja {

namespace {

// Height of an expression, and nesting of brackets while it is parsed.
constexpr int kHeightMax = 150;
constexpr int kNestingMax = 60;

ExprPtr Make(ExprKind kind, int line, std::string text = "") {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  node->text = std::move(text);
  return node;
}

template <class... Operands>
ExprPtr MakeWith(ExprKind kind, int line, std::string text, Operands... operands) {
  ExprPtr node = Make(kind, line, std::move(text));
  (node->operands.push_back(std::move(operands)), ...);
  return node;
}

ExprPtr MakeConst(int line, Value value) {
  ExprPtr node = Make(ExprKind::kConst, line);
  node->value = std::move(value);
  return node;
}

int HeightOfCall(const CallArguments& call) {
  int height = 0;
  const auto add = [&](const ExprPtr& operand) {
    if (operand) height = std::max(height, operand->height);
  };
  for (const ExprPtr& operand : call.positional) add(operand);
  for (const auto& named : call.named) add(named.second);
  add(call.star);
  add(call.star_star);
  return height;
}

bool IsAssignable(const Expr& target) {
  if (target.kind == ExprKind::kName || target.kind == ExprKind::kNamespace) return true;
  if (target.kind != ExprKind::kTuple) return false;
  return std::all_of(target.operands.begin(), target.operands.end(),
                     [](const ExprPtr& item) { return IsAssignable(*item); });
}

bool StartsTestArgument(const Token& token) {
  switch (token.type) {
    case TokenType::kName:
      return !token.IsName("else") && !token.IsName("or") && !token.IsName("and");
    case TokenType::kString:
    case TokenType::kInteger:
    case TokenType::kFloat:
      return true;
    default:
      return token.IsOperator("[") || token.IsOperator("{");
  }
}

}  // namespace

bool TokenStream::SkipName(std::string_view name) {
  if (!current().IsName(name)) return false;
  Take();
  return true;
}

bool TokenStream::SkipOperator(std::string_view op) {
  if (!current().IsOperator(op)) return false;
  Take();
  return true;
}

Status TokenStream::ExpectName(std::string_view name) {
  return SkipName(name) ? Status() : Unexpected();
}

Status TokenStream::ExpectOperator(std::string_view op) {
  if (SkipOperator(op)) return {};
  return Unexpected().Annotate(fmt::format("expected '{}'", op));
}

Status TokenStream::Expect(TokenType type) {
  if (current().type != type) return Unexpected();
  Take();
  return {};
}

Result<std::string> TokenStream::TakeName() {
  if (current().type != TokenType::kName) return Unexpected();
  return Take().text;
}

Status TokenStream::Unexpected() const {
  const Token& token = current();
  switch (token.type) {
    case TokenType::kEnd:
      return SyntaxError(token.line, "unexpected end of the template");
    case TokenType::kBlockEnd:
      return SyntaxError(token.line, "unexpected end of a block tag");
    case TokenType::kVariableEnd:
      return SyntaxError(token.line, "unexpected end of an output tag");
    default:
      return SyntaxError(token.line, fmt::format("unexpected {}", Quote(token.text)));
  }
}

Result<ExprPtr> ExpressionParser::Node(ExprPtr node) {
  for (const ExprPtr& operand : node->operands) {
    if (operand) node->height = std::max(node->height, 1 + operand->height);
  }
  if (node->call) node->height = std::max(node->height, 1 + HeightOfCall(*node->call));
  if (node->height <= kHeightMax) return node;
  return Status::Exhausted(
      fmt::format("line {}: an expression is nested deeper than {}", node->line, kHeightMax));
}

Result<ExprPtr> ExpressionParser::Expression(bool conditional) {
  if (depth_ >= kNestingMax) {
    return Status::Exhausted(fmt::format("line {}: brackets are nested deeper than {}",
                                         tokens_->current().line, kNestingMax));
  }
  ++depth_;
  Result<ExprPtr> expression = conditional ? Conditional() : Or();
  --depth_;
  return expression;
}

Result<ExprPtr> ExpressionParser::Conditional() {
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, Or());
  while (tokens_->current().IsName("if")) {
    const int line = tokens_->Take().line;
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr test, Or());
    ExprPtr otherwise;
    if (tokens_->SkipName("else")) {
      GYRATOR_ASSIGN_OR_RETURN(otherwise, Expression());
    }
    GYRATOR_ASSIGN_OR_RETURN(value, Node(MakeWith(ExprKind::kConditional, line, "", std::move(test),
                                                  std::move(value), std::move(otherwise))));
  }
  return value;
}

Result<ExprPtr> ExpressionParser::Or() {
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr left, And());
  while (tokens_->current().IsName("or")) {
    const int line = tokens_->Take().line;
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr right, And());
    GYRATOR_ASSIGN_OR_RETURN(
        left, Node(MakeWith(ExprKind::kOr, line, "", std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::And() {
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr left, Not());
  while (tokens_->current().IsName("and")) {
    const int line = tokens_->Take().line;
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr right, Not());
    GYRATOR_ASSIGN_OR_RETURN(
        left, Node(MakeWith(ExprKind::kAnd, line, "", std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Not() {
  std::vector<int> lines;
  while (tokens_->current().IsName("not")) lines.push_back(tokens_->Take().line);
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, Comparison());
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    GYRATOR_ASSIGN_OR_RETURN(value,
                             Node(MakeWith(ExprKind::kUnary, *line, "not", std::move(value))));
  }
  return value;
}

Result<ExprPtr> ExpressionParser::Comparison() {
  const int line = tokens_->current().line;
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr first, Sum());
  ExprPtr compare = Make(ExprKind::kCompare, line);
  compare->operands.push_back(std::move(first));
  while (true) {
    const Token& token = tokens_->current();
    std::string op;
    if (token.type == TokenType::kOperator &&
        (token.text == "==" || token.text == "!=" || token.text == "<" || token.text == "<=" ||
         token.text == ">" || token.text == ">=")) {
      op = token.text;
    } else if (token.IsName("in")) {
      op = "in";
    } else if (token.IsName("not") && tokens_->next().IsName("in")) {
      tokens_->Take();
      op = "not in";
    } else {
      break;
    }
    tokens_->Take();
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr operand, Sum());
    compare->operands.push_back(std::move(operand));
    compare->operators.push_back(std::move(op));
  }
  if (compare->operators.empty()) return std::move(compare->operands[0]);
  return Node(std::move(compare));
}

Result<ExprPtr> ExpressionParser::Sum() {
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr left, Concatenation());
  while (tokens_->current().IsOperator("+") || tokens_->current().IsOperator("-")) {
    const Token op = tokens_->Take();
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr right, Concatenation());
    GYRATOR_ASSIGN_OR_RETURN(left, Node(MakeWith(ExprKind::kBinary, op.line, op.text,
                                                 std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Concatenation() {
  const int line = tokens_->current().line;
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr first, Product());
  if (!tokens_->current().IsOperator("~")) return first;
  ExprPtr concat = MakeWith(ExprKind::kConcat, line, "", std::move(first));
  while (tokens_->SkipOperator("~")) {
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr operand, Product());
    concat->operands.push_back(std::move(operand));
  }
  return Node(std::move(concat));
}

Result<ExprPtr> ExpressionParser::Product() {
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr left, Power());
  while (tokens_->current().IsOperator("*") || tokens_->current().IsOperator("/") ||
         tokens_->current().IsOperator("//") || tokens_->current().IsOperator("%")) {
    const Token op = tokens_->Take();
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr right, Power());
    GYRATOR_ASSIGN_OR_RETURN(left, Node(MakeWith(ExprKind::kBinary, op.line, op.text,
                                                 std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Power() {
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr left, Unary(/*with_filters=*/true));
  while (tokens_->current().IsOperator("**")) {
    const Token op = tokens_->Take();
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr right, Unary(/*with_filters=*/true));
    GYRATOR_ASSIGN_OR_RETURN(left, Node(MakeWith(ExprKind::kBinary, op.line, op.text,
                                                 std::move(left), std::move(right))));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::Unary(bool with_filters) {
  ExprPtr value;
  if (tokens_->current().IsOperator("-") || tokens_->current().IsOperator("+")) {
    if (++depth_ > kNestingMax) return Status::Exhausted("signs are nested too deep");
    const Token op = tokens_->Take();
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr operand, Unary(/*with_filters=*/false));
    --depth_;
    GYRATOR_ASSIGN_OR_RETURN(
        value, Node(MakeWith(ExprKind::kUnary, op.line, op.text, std::move(operand))));
  } else {
    GYRATOR_ASSIGN_OR_RETURN(value, Primary(/*with_namespace=*/false));
  }
  GYRATOR_ASSIGN_OR_RETURN(value, Postfix(std::move(value)));
  return with_filters ? FiltersAndTests(std::move(value)) : std::move(value);
}

Result<ExprPtr> ExpressionParser::Primary(bool with_namespace) {
  const Token& token = tokens_->current();
  switch (token.type) {
    case TokenType::kName:
    case TokenType::kString:
      return NameOrLiteral(with_namespace);
    case TokenType::kInteger:
    case TokenType::kFloat:
      return Number();
    default:
      break;
  }
  if (token.IsOperator("(")) return Parenthesized();
  if (token.IsOperator("[")) return ListLiteral();
  if (token.IsOperator("{")) return DictLiteral();
  return tokens_->Unexpected();
}

Result<ExprPtr> ExpressionParser::NameOrLiteral(bool with_namespace) {
  const Token token = tokens_->Take();
  if (token.type == TokenType::kString) {
    std::string text = token.text;  // neighbours are joined
    while (tokens_->current().type == TokenType::kString) text += tokens_->Take().text;
    return MakeConst(token.line, Value::String(std::move(text)));
  }
  if (token.text == "true" || token.text == "True") return MakeConst(token.line, Value::Bool(true));
  if (token.text == "false" || token.text == "False") {
    return MakeConst(token.line, Value::Bool(false));
  }
  if (token.text == "none" || token.text == "None") return MakeConst(token.line, Value::None());
  if (with_namespace && tokens_->SkipOperator(".")) {
    ExprPtr target = Make(ExprKind::kNamespace, token.line, token.text);
    GYRATOR_ASSIGN_OR_RETURN(target->attribute, tokens_->TakeName());
    return target;
  }
  return Make(ExprKind::kName, token.line, token.text);
}

Result<ExprPtr> ExpressionParser::Number() {
  const Token token = tokens_->Take();
  if (token.type == TokenType::kFloat) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    if (error == std::errc::result_out_of_range) value = std::strtod(token.text.c_str(), nullptr);
    return MakeConst(token.line, Value::Float(value));
  }
  std::string_view digits = token.text;
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0' && digits[1] != '0') {
    const char kind = static_cast<char>(digits[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
    digits.remove_prefix(2);
  }
  int64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc()) {
    return Status::Unsupported(
        fmt::format("line {}: the number {} does not fit in 64 bits", token.line, token.text));
  }
  return MakeConst(token.line, Value::Int(value));
}

Result<ExprPtr> ExpressionParser::Parenthesized() {
  const int line = tokens_->Take().line;
  ExprPtr value;
  if (tokens_->current().IsOperator(")")) {
    value = Make(ExprKind::kTuple, line);
  } else {
    GYRATOR_ASSIGN_OR_RETURN(value, ExpressionOrTuple());
  }
  GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator(")"));
  return value;
}

Result<ExprPtr> ExpressionParser::ListLiteral() {
  ExprPtr list = Make(ExprKind::kList, tokens_->Take().line);
  while (!tokens_->current().IsOperator("]")) {
    if (!list->operands.empty()) GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator(","));
    if (tokens_->current().IsOperator("]")) break;
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr item, Expression());
    list->operands.push_back(std::move(item));
  }
  tokens_->Take();
  return Node(std::move(list));
}

Result<ExprPtr> ExpressionParser::DictLiteral() {
  ExprPtr dict = Make(ExprKind::kDict, tokens_->Take().line);
  while (!tokens_->current().IsOperator("}")) {
    if (!dict->operands.empty()) GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator(","));
    if (tokens_->current().IsOperator("}")) break;
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr key, Expression());
    GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator(":"));
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, Expression());
    dict->operands.push_back(std::move(key));
    dict->operands.push_back(std::move(value));
  }
  tokens_->Take();
  return Node(std::move(dict));
}

bool ExpressionParser::AtTupleEnd(std::string_view end) const {
  const Token& token = tokens_->current();
  return token.type == TokenType::kVariableEnd || token.type == TokenType::kBlockEnd ||
         token.IsOperator(")") || (!end.empty() && token.IsName(end));
}

Result<ExprPtr> ExpressionParser::ExpressionOrTuple(bool conditional, std::string_view end) {
  const int line = tokens_->current().line;
  if (AtTupleEnd(end)) return tokens_->Unexpected().Annotate("expected an expression");
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr first, Expression(conditional));
  if (!tokens_->current().IsOperator(",")) return first;
  ExprPtr tuple = MakeWith(ExprKind::kTuple, line, "", std::move(first));
  while (tokens_->SkipOperator(",")) {
    if (AtTupleEnd(end)) break;
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr item, Expression(conditional));
    tuple->operands.push_back(std::move(item));
  }
  return Node(std::move(tuple));
}

Result<ExprPtr> ExpressionParser::TargetTuple(bool with_namespace, std::string_view end) {
  const int line = tokens_->current().line;
  if (AtTupleEnd(end)) return tokens_->Unexpected().Annotate("expected a name");
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr first, Primary(with_namespace));
  if (!tokens_->current().IsOperator(",")) return first;
  ExprPtr tuple = MakeWith(ExprKind::kTuple, line, "", std::move(first));
  while (tokens_->SkipOperator(",")) {
    if (AtTupleEnd(end)) break;
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr item, Primary(with_namespace));
    tuple->operands.push_back(std::move(item));
  }
  return Node(std::move(tuple));
}

Result<ExprPtr> ExpressionParser::Target(bool with_namespace, std::string_view end) {
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr target, TargetTuple(with_namespace, end));
  if (!IsAssignable(*target)) return SyntaxError(target->line, "cannot assign to this expression");
  return target;
}

Result<ExprPtr> ExpressionParser::Postfix(ExprPtr value) {
  while (true) {
    if (tokens_->current().IsOperator(".") || tokens_->current().IsOperator("[")) {
      GYRATOR_ASSIGN_OR_RETURN(value, Subscript(std::move(value)));
    } else if (tokens_->current().IsOperator("(")) {
      GYRATOR_ASSIGN_OR_RETURN(value, Call(std::move(value)));
    } else {
      return value;
    }
  }
}

Result<ExprPtr> ExpressionParser::FiltersAndTests(ExprPtr value) {
  while (true) {
    if (tokens_->current().IsOperator("|")) {
      GYRATOR_ASSIGN_OR_RETURN(value, Filters(std::move(value), /*inline_start=*/false));
    } else if (tokens_->current().IsName("is")) {
      GYRATOR_ASSIGN_OR_RETURN(value, Test(std::move(value)));
    } else if (tokens_->current().IsOperator("(")) {
      GYRATOR_ASSIGN_OR_RETURN(value, Call(std::move(value)));
    } else {
      return value;
    }
  }
}

Result<ExprPtr> ExpressionParser::Subscript(ExprPtr value) {
  const Token token = tokens_->Take();
  if (token.text == "[") return SubscriptKey(std::move(value));
  const Token name = tokens_->current();
  if (name.type == TokenType::kName) {
    tokens_->Take();
    return Node(MakeWith(ExprKind::kAttribute, token.line, name.text, std::move(value)));
  }
  if (name.type != TokenType::kInteger) return tokens_->Unexpected();
  GYRATOR_ASSIGN_OR_RETURN(ExprPtr key, Number());
  return Node(MakeWith(ExprKind::kItem, token.line, "", std::move(value), std::move(key)));
}

Result<ExprPtr> ExpressionParser::SubscriptKey(ExprPtr value) {
  const int line = tokens_->current().line;
  ExprPtr keys[3];
  int colons = 0;
  while (!tokens_->current().IsOperator("]")) {
    if (tokens_->current().IsOperator(",")) break;
    if (colons < 2 && tokens_->SkipOperator(":")) {
      ++colons;
      continue;
    }
    if (keys[colons]) return tokens_->Unexpected();
    GYRATOR_ASSIGN_OR_RETURN(keys[colons], Expression());
  }
  if (colons > 0) {
    GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator("]"));
    return Node(MakeWith(ExprKind::kSlice, line, "", std::move(value), std::move(keys[0]),
                         std::move(keys[1]), std::move(keys[2])));
  }
  if (!keys[0] && tokens_->current().IsOperator(",")) return tokens_->Unexpected();
  ExprPtr key = std::move(keys[0]);
  if (!key || tokens_->current().IsOperator(",")) {  // x[] and x[a, b] have a tuple as their key
    ExprPtr tuple = Make(ExprKind::kTuple, line);
    if (key) tuple->operands.push_back(std::move(key));
    while (tokens_->SkipOperator(",")) {
      GYRATOR_ASSIGN_OR_RETURN(ExprPtr item, Expression());
      tuple->operands.push_back(std::move(item));
    }
    GYRATOR_ASSIGN_OR_RETURN(key, Node(std::move(tuple)));
  }
  GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator("]"));
  return Node(MakeWith(ExprKind::kItem, line, "", std::move(value), std::move(key)));
}

Result<ExprPtr> ExpressionParser::Call(ExprPtr callee) {
  ExprPtr call = MakeWith(ExprKind::kCall, tokens_->current().line, "", std::move(callee));
  GYRATOR_ASSIGN_OR_RETURN(call->call, Arguments());
  return Node(std::move(call));
}

Result<std::unique_ptr<CallArguments>> ExpressionParser::Arguments() {
  auto call = std::make_unique<CallArguments>();
  GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator("("));
  bool first = true;
  while (!tokens_->current().IsOperator(")")) {
    if (!first) {
      GYRATOR_RETURN_IF_ERROR(tokens_->ExpectOperator(","));
      if (tokens_->current().IsOperator(")")) break;
    }
    first = false;
    GYRATOR_RETURN_IF_ERROR(Argument(call.get()));
  }
  tokens_->Take();
  return call;
}

Status ExpressionParser::Argument(CallArguments* call) {
  const int line = tokens_->current().line;
  bool fits = true;
  if (tokens_->SkipOperator("*")) {
    fits = !call->star && !call->star_star;
    GYRATOR_ASSIGN_OR_RETURN(call->star, Expression());
  } else if (tokens_->SkipOperator("**")) {
    fits = !call->star_star;
    GYRATOR_ASSIGN_OR_RETURN(call->star_star, Expression());
  } else if (tokens_->current().type == TokenType::kName && tokens_->next().IsOperator("=")) {
    fits = !call->star_star;
    std::string name = tokens_->Take().text;
    tokens_->Take();
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, Expression());
    for (const auto& named : call->named) {
      if (named.first == name) return SyntaxError(line, "keyword argument repeated: " + name);
    }
    call->named.emplace_back(std::move(name), std::move(value));
  } else {
    fits = !call->star && !call->star_star && call->named.empty();
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, Expression());
    call->positional.push_back(std::move(value));
  }
  return fits ? Status() : SyntaxError(line, "arguments of a call are out of order");
}

Result<std::string> ExpressionParser::DottedName() {
  GYRATOR_ASSIGN_OR_RETURN(std::string name, tokens_->TakeName());
  while (tokens_->SkipOperator(".")) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string part, tokens_->TakeName());
    name += "." + part;
  }
  return name;
}

Result<ExprPtr> ExpressionParser::Filters(ExprPtr value, bool inline_start) {
  while (inline_start || tokens_->current().IsOperator("|")) {
    if (!inline_start) tokens_->Take();
    inline_start = false;
    ExprPtr filter = Make(ExprKind::kFilter, tokens_->current().line);
    filter->operands.push_back(std::move(value));
    GYRATOR_ASSIGN_OR_RETURN(filter->text, DottedName());
    filter->call = std::make_unique<CallArguments>();
    if (tokens_->current().IsOperator("(")) {
      GYRATOR_ASSIGN_OR_RETURN(filter->call, Arguments());
    }
    GYRATOR_ASSIGN_OR_RETURN(value, Node(std::move(filter)));
  }
  return value;
}

Result<ExprPtr> ExpressionParser::Test(ExprPtr value) {
  const int line = tokens_->Take().line;
  const bool negated = tokens_->SkipName("not");
  ExprPtr test = MakeWith(ExprKind::kTest, line, "", std::move(value));
  GYRATOR_ASSIGN_OR_RETURN(test->text, DottedName());
  test->call = std::make_unique<CallArguments>();
  if (tokens_->current().IsOperator("(")) {
    GYRATOR_ASSIGN_OR_RETURN(test->call, Arguments());
  } else if (StartsTestArgument(tokens_->current())) {
    if (tokens_->current().IsName("is")) {
      return SyntaxError(line, "tests cannot be chained with 'is'");
    }
    GYRATOR_ASSIGN_OR_RETURN(ExprPtr argument, Primary(/*with_namespace=*/false));
    GYRATOR_ASSIGN_OR_RETURN(argument, Postfix(std::move(argument)));
    test->call->positional.push_back(std::move(argument));
  }
  GYRATOR_ASSIGN_OR_RETURN(test, Node(std::move(test)));
  if (!negated) return test;
  return Node(MakeWith(ExprKind::kUnary, line, "not", std::move(test)));
}

}  // namespace gyrator::jinja

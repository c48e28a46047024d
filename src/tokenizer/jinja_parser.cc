#include "tokenizer/jinja_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/jinja_expression.h"
#include "tokenizer/jinja_lexer.h"
#include "tokenizer/jinja_print.h"
#include "tokenizer/jinja_resolver.h"

namespace gyrator::jinja {

namespace {

constexpr int kBlockDepthMax = 60;

// Tags of Jinja that load other templates or change escaping; no chat template has a use for them.
constexpr std::array<std::string_view, 6> kForeignTags = {"block",  "extends", "include",
                                                          "import", "from",    "autoescape"};

bool NamesLoop(const Expr& target) {
  if (target.kind == ExprKind::kName) return target.text == "loop";
  return std::any_of(target.operands.begin(), target.operands.end(),
                     [](const ExprPtr& item) { return NamesLoop(*item); });
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)), expressions_(&tokens_) {}

  Result<std::unique_ptr<TemplateTree>> Run() {
    auto tree = std::make_unique<TemplateTree>();
    GYRATOR_RETURN_IF_ERROR(Statements({}, &tree->body));
    return tree;
  }

 private:
  using EndTags = std::vector<std::string_view>;

  static std::unique_ptr<Stmt> Make(StmtKind kind, int line) {
    auto stmt = std::make_unique<Stmt>();
    stmt->kind = kind;
    stmt->line = line;
    return stmt;
  }

  static std::string Join(const EndTags& ends) {
    std::string joined;
    for (const std::string_view end : ends)
      joined += fmt::format("{}'{}'", joined.empty() ? "" : " or ", end);
    return joined;
  }

  // Up to a tag of `ends`, whose name is the current token then; to the end of the template where
  // `ends` is empty.
  Status Statements(const EndTags& ends, Block* out) {
    while (true) {
      const Token& token = tokens_.current();
      if (token.type == TokenType::kEnd) {
        if (ends.empty()) return {};
        return SyntaxError(
            token.line, fmt::format("unexpected end of the template, looking for {}", Join(ends)));
      }
      if (token.type == TokenType::kData) {
        out->push_back(Make(StmtKind::kText, token.line));
        out->back()->text = tokens_.Take().text;
      } else if (token.type == TokenType::kVariableBegin) {
        out->push_back(Make(StmtKind::kOutput, token.line));
        tokens_.Take();
        GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, expressions_.ExpressionOrTuple());
        out->back()->expressions.push_back(std::move(value));
        GYRATOR_RETURN_IF_ERROR(tokens_.Expect(TokenType::kVariableEnd));
      } else {
        GYRATOR_RETURN_IF_ERROR(tokens_.Expect(TokenType::kBlockBegin));
        const Token& tag = tokens_.current();
        if (tag.type == TokenType::kName &&
            std::find(ends.begin(), ends.end(), tag.text) != ends.end()) {
          return {};
        }
        GYRATOR_ASSIGN_OR_RETURN(std::unique_ptr<Stmt> stmt, Statement(ends));
        out->push_back(std::move(stmt));
        GYRATOR_RETURN_IF_ERROR(tokens_.Expect(TokenType::kBlockEnd));
      }
    }
  }

  // Behind a tag's head: "%}", the statements, and the name of the closing tag, which is taken and
  // returned.
  Result<std::string> Body(const EndTags& ends, Block* out) {
    if (++depth_ > kBlockDepthMax) {
      return Status::Exhausted(fmt::format("line {}: blocks are nested deeper than {}",
                                           tokens_.current().line, kBlockDepthMax));
    }
    tokens_.SkipOperator(":");
    GYRATOR_RETURN_IF_ERROR(tokens_.Expect(TokenType::kBlockEnd));
    GYRATOR_RETURN_IF_ERROR(Statements(ends, out));
    --depth_;
    return tokens_.Take().text;
  }

  // The body of a macro or call: a function, which no loop around it reaches.
  Status FunctionBody(std::string_view end, Block* out) {
    const int loops = std::exchange(loops_, 0);
    const Result<std::string> closed = Body({end}, out);
    loops_ = loops;
    return closed.status();
  }

  Result<std::unique_ptr<Stmt>> Statement(const EndTags& ends) {
    const Token tag = tokens_.current();
    if (tag.type != TokenType::kName) return tokens_.Unexpected().Annotate("expected a tag's name");
    tokens_.Take();
    const std::string& name = tag.text;
    if (name == "if") return If(tag.line);
    if (name == "for") return For(tag.line);
    if (name == "set") return Set(tag.line);
    if (name == "macro") return Macro(tag.line);
    if (name == "call") return CallBlock(tag.line);
    if (name == "filter") return FilterBlock(tag.line);
    if (name == "with") return With(tag.line);
    if (name == "print") return Print(tag.line);
    if (name == "break" || name == "continue") {
      if (loops_ == 0) return SyntaxError(tag.line, fmt::format("'{}' outside a loop", name));
      return Make(name == "break" ? StmtKind::kBreak : StmtKind::kContinue, tag.line);
    }
    if (name == "generation") {
      auto stmt = Make(StmtKind::kScope, tag.line);
      GYRATOR_RETURN_IF_ERROR(FunctionBody("endgeneration", &stmt->body));
      return stmt;
    }
    if (std::find(kForeignTags.begin(), kForeignTags.end(), name) != kForeignTags.end()) {
      return Status::Unsupported(fmt::format("line {}: tag '{}' is not supported", tag.line, name));
    }
    if (name.starts_with("end") || name == "elif" || name == "else") {
      return SyntaxError(tag.line, fmt::format("unexpected tag '{}'{}", name,
                                               ends.empty() ? "" : ", looking for " + Join(ends)));
    }
    return Status::Unsupported(fmt::format("line {}: no tag named {}", tag.line, Quote(name)));
  }

  Result<std::unique_ptr<Stmt>> If(int line) {
    auto stmt = Make(StmtKind::kIf, line);
    std::string end = "elif";
    while (end == "elif") {
      Branch branch;
      GYRATOR_ASSIGN_OR_RETURN(branch.test, expressions_.ExpressionOrTuple(/*conditional=*/false));
      GYRATOR_ASSIGN_OR_RETURN(end, Body({"elif", "else", "endif"}, &branch.body));
      stmt->branches.push_back(std::move(branch));
    }
    if (end == "else") {
      GYRATOR_ASSIGN_OR_RETURN(end, Body({"endif"}, &stmt->otherwise));
    }
    return stmt;
  }

  Result<std::unique_ptr<Stmt>> For(int line) {
    auto stmt = Make(StmtKind::kFor, line);
    GYRATOR_ASSIGN_OR_RETURN(stmt->target, expressions_.Target(/*with_namespace=*/false, "in"));
    if (NamesLoop(*stmt->target)) return SyntaxError(line, "cannot assign to 'loop' in a for loop");
    GYRATOR_RETURN_IF_ERROR(tokens_.ExpectName("in"));
    GYRATOR_ASSIGN_OR_RETURN(stmt->value,
                             expressions_.ExpressionOrTuple(/*conditional=*/false, "recursive"));
    if (tokens_.SkipName("if")) {
      GYRATOR_ASSIGN_OR_RETURN(stmt->test, expressions_.Expression());
    }
    stmt->recursive = tokens_.SkipName("recursive");
    ++loops_;
    ++fors_;
    GYRATOR_ASSIGN_OR_RETURN(std::string end, Body({"endfor", "else"}, &stmt->body));
    --loops_;
    if (end == "else") {
      GYRATOR_ASSIGN_OR_RETURN(end, Body({"endfor"}, &stmt->otherwise));
    }
    --fors_;
    return stmt;
  }

  Result<std::unique_ptr<Stmt>> Set(int line) {
    auto stmt = Make(StmtKind::kSet, line);
    GYRATOR_ASSIGN_OR_RETURN(stmt->target, expressions_.Target(/*with_namespace=*/true));
    if (fors_ > 0 && NamesLoop(*stmt->target)) {
      return SyntaxError(line, "cannot assign to 'loop' in a for loop");
    }
    if (tokens_.SkipOperator("=")) {
      GYRATOR_ASSIGN_OR_RETURN(stmt->value, expressions_.ExpressionOrTuple());
      return stmt;
    }
    stmt->kind = StmtKind::kSetBlock;
    GYRATOR_ASSIGN_OR_RETURN(stmt->value, expressions_.Filters(nullptr, /*inline_start=*/false));
    GYRATOR_RETURN_IF_ERROR(Body({"endset"}, &stmt->body).status());
    return stmt;
  }

  Status Signature(MacroDefinition* macro) {
    GYRATOR_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
    while (!tokens_.current().IsOperator(")")) {
      if (!macro->parameters.empty()) {
        GYRATOR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
        if (tokens_.current().IsOperator(")")) break;
      }
      const int line = tokens_.current().line;
      GYRATOR_ASSIGN_OR_RETURN(const std::string name, tokens_.TakeName());
      if (std::find(macro->parameters.begin(), macro->parameters.end(), name) !=
          macro->parameters.end()) {
        return SyntaxError(line, fmt::format("duplicate argument '{}'", name));
      }
      macro->parameters.push_back(name);
      if (tokens_.SkipOperator("=")) {
        GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, expressions_.Expression());
        macro->defaults.push_back(std::move(value));
      } else if (!macro->defaults.empty()) {
        return SyntaxError(line, "a parameter without default follows one with default");
      }
    }
    return tokens_.ExpectOperator(")");
  }

  Result<std::unique_ptr<Stmt>> Macro(int line) {
    auto stmt = Make(StmtKind::kMacro, line);
    stmt->macro = std::make_unique<MacroDefinition>();
    GYRATOR_ASSIGN_OR_RETURN(stmt->macro->name, tokens_.TakeName());
    stmt->target = std::make_unique<Expr>();
    stmt->target->kind = ExprKind::kName;
    stmt->target->line = line;
    stmt->target->text = stmt->macro->name;
    GYRATOR_RETURN_IF_ERROR(Signature(stmt->macro.get()));
    GYRATOR_RETURN_IF_ERROR(FunctionBody("endmacro", &stmt->macro->body));
    return stmt;
  }

  Result<std::unique_ptr<Stmt>> CallBlock(int line) {
    auto stmt = Make(StmtKind::kCallBlock, line);
    stmt->macro = std::make_unique<MacroDefinition>();
    stmt->macro->name = "caller";
    if (tokens_.current().IsOperator("(")) GYRATOR_RETURN_IF_ERROR(Signature(stmt->macro.get()));
    GYRATOR_ASSIGN_OR_RETURN(stmt->value, expressions_.Expression());
    if (stmt->value->kind != ExprKind::kCall) return SyntaxError(line, "expected a call");
    GYRATOR_RETURN_IF_ERROR(FunctionBody("endcall", &stmt->macro->body));
    return stmt;
  }

  Result<std::unique_ptr<Stmt>> FilterBlock(int line) {
    auto stmt = Make(StmtKind::kFilterBlock, line);
    GYRATOR_ASSIGN_OR_RETURN(stmt->value, expressions_.Filters(nullptr, /*inline_start=*/true));
    GYRATOR_RETURN_IF_ERROR(Body({"endfilter"}, &stmt->body).status());
    return stmt;
  }

  Result<std::unique_ptr<Stmt>> With(int line) {
    auto stmt = Make(StmtKind::kWith, line);
    while (tokens_.current().type != TokenType::kBlockEnd) {
      if (!stmt->expressions.empty()) GYRATOR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      GYRATOR_ASSIGN_OR_RETURN(ExprPtr target, expressions_.Target(/*with_namespace=*/false));
      GYRATOR_RETURN_IF_ERROR(tokens_.ExpectOperator("="));
      GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, expressions_.Expression());
      stmt->expressions.push_back(std::move(target));
      stmt->expressions.push_back(std::move(value));
    }
    GYRATOR_RETURN_IF_ERROR(Body({"endwith"}, &stmt->body).status());
    return stmt;
  }

  Result<std::unique_ptr<Stmt>> Print(int line) {
    auto stmt = Make(StmtKind::kOutput, line);
    while (tokens_.current().type != TokenType::kBlockEnd) {
      if (!stmt->expressions.empty()) GYRATOR_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
      GYRATOR_ASSIGN_OR_RETURN(ExprPtr value, expressions_.Expression());
      stmt->expressions.push_back(std::move(value));
    }
    return stmt;
  }

  TokenStream tokens_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int loops_ = 0;  // loops that break and continue can reach
  int fors_ = 0;   // loops around, beyond macros too
};

}  // namespace

Result<std::unique_ptr<const TemplateTree>> ParseTemplate(std::string_view source) {
  GYRATOR_ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(source));
  GYRATOR_ASSIGN_OR_RETURN(std::unique_ptr<TemplateTree> tree, Parser(std::move(tokens)).Run());
  GYRATOR_RETURN_IF_ERROR(Resolve(tree.get()));
  return std::unique_ptr<const TemplateTree>(std::move(tree));
}

}  // namespace gyrator::jinja

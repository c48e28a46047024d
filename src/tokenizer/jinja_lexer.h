// Cuts a template's source into tokens, with the white space rules of Jinja2 under trim_blocks and
// lstrip_blocks (a line break after a block tag goes, and so does the indentation before one) and
// without keep_trailing_newline (one line break at the very end goes).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"

namespace gyrator::jinja {

enum class TokenType : uint8_t {
  kData,           // text between the tags
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kName,
  kString,   // escapes replaced
  kInteger,  // text: decimal digits, 0x.., 0o.., 0b..; no underscores
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type = TokenType::kEnd;
  std::string text;
  int line = 1;

  bool IsOperator(std::string_view op) const { return type == TokenType::kOperator && text == op; }
  bool IsName(std::string_view name) const { return type == TokenType::kName && text == name; }
};

// The last token is kEnd. kCorruption names the line: bytes that are not UTF-8, an unknown
// character, an unclosed comment, raw block or bracket, a bad escape.
Result<std::vector<Token>> Tokenize(std::string_view source);

// "line 3: text" under kCorruption, with the stable name "template_syntax".
Status SyntaxError(int line, std::string_view message);

}  // namespace gyrator::jinja

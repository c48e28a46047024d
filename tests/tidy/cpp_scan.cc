#include "tests/tidy/cpp_scan.h"

#include <algorithm>
#include <cctype>
#include <regex>

#include "tests/tidy/tree.h"

namespace gyrator::tidy {

namespace {

bool IsIdentifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Blanks [begin, end) but line breaks.
void Blank(std::string* code, size_t begin, size_t end) {
  for (size_t i = begin; i < std::min(end, code->size()); ++i) {
    if ((*code)[i] != '\n') (*code)[i] = ' ';
  }
}

// The offset after a quoted literal that opens at `at`.
size_t SkipQuoted(std::string_view text, size_t at) {
  const char quote = text[at];
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == quote || text[i] == '\n')
      return i + 1;
  }
  return text.size();
}

// The offset after R"delim(...)delim" whose quote is at `at`.
size_t SkipRaw(std::string_view text, size_t at) {
  const size_t open = text.find('(', at);
  if (open == std::string_view::npos) return text.size();
  const std::string close = ")" + std::string(text.substr(at + 1, open - at - 1)) + "\"";
  const size_t end = text.find(close, open);
  return end == std::string_view::npos ? text.size() : end + close.size();
}

// Code without preprocessor lines, continuations included.
std::string WithoutDirectives(std::string code) {
  bool inside = false;
  for (size_t begin = 0; begin < code.size();) {
    size_t end = code.find('\n', begin);
    if (end == std::string::npos) end = code.size();
    const size_t first = code.find_first_not_of(" \t", begin);
    const bool starts = first < end && code[first] == '#';
    const bool continues = end > begin && code[end - 1] == '\\';
    if (starts || inside) Blank(&code, begin, end);
    inside = (starts || inside) && continues;
    begin = end + 1;
  }
  return code;
}

// Parameters of the list that opens at `open`.
void ReadParameters(std::string_view head, size_t open, Function* function) {
  int depth = 0;
  std::vector<std::string> parameters(1);
  for (size_t i = open; i < head.size(); ++i) {
    const char c = head[i];
    if (c == '(' || c == '<' || c == '{' || c == '[') ++depth;
    if (c == ')' || c == '>' || c == '}' || c == ']') --depth;
    if (depth == 0) break;
    if (c == ',' && depth == 1)
      parameters.emplace_back();
    else if (i > open)
      parameters.back() += c;
  }
  const auto is_blank = [](const std::string& s) {
    return s.find_first_not_of(" \t\n") == std::string::npos;
  };
  if (parameters.size() == 1 && is_blank(parameters[0])) return;
  function->num_parameters = static_cast<int>(parameters.size());
  const auto is_bool = [](const std::string& s) {
    static const std::regex pattern(R"(^\s*(const\s+)?bool\s+\w+)");
    return std::regex_search(s, pattern);
  };
  for (size_t i = 1; i < parameters.size(); ++i) {
    if (is_bool(parameters[i - 1]) && is_bool(parameters[i])) function->adjacent_bools = true;
  }
}

// Reads `head`, the text before a brace, as the head of a function; false when it is none.
bool ReadHead(std::string_view head, Function* function) {
  static const std::regex scope(R"((^|[\s>])(namespace|class|struct|enum|union|concept)\b[^()]*$)");
  static const std::regex external(R"(extern\s*"[^"]*"\s*$)");
  static const std::regex attribute(R"(alignas\s*\([^)]*\)|__attribute__\s*\(\(.*?\)\))");
  const std::string text = std::regex_replace(std::string(head), attribute, "");
  if (std::regex_search(text, scope) || std::regex_search(text, external)) return false;
  const size_t open = head.find('(');
  if (open == std::string_view::npos) return false;
  size_t end = open;
  while (end > 0 && std::isspace(static_cast<unsigned char>(head[end - 1]))) --end;
  size_t begin = end;
  while (begin > 0 && (IsIdentifier(head[begin - 1]) || head[begin - 1] == '~')) --begin;
  function->name = std::string(head.substr(begin, end - begin));
  ReadParameters(head, open, function);
  return true;
}

}  // namespace

std::string CodeOnly(std::string_view text) {
  std::string code(text);
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (c == '/' && next == '/') {
      const size_t end = std::min(text.find('\n', i), text.size());
      Blank(&code, i, end);
      i = end;
    } else if (c == '/' && next == '*') {
      const size_t close = text.find("*/", i + 2);
      const size_t end = close == std::string_view::npos ? text.size() : close + 2;
      Blank(&code, i, end);
      i = end;
    } else if (c == '"') {
      const bool raw = i > 0 && text[i - 1] == 'R' && (i < 2 || !IsIdentifier(text[i - 2]));
      const size_t end = raw ? SkipRaw(text, i) : SkipQuoted(text, i);
      Blank(&code, i + 1, end - 1);
      i = end;
    } else if (c == '\'' && (i == 0 || !std::isalnum(static_cast<unsigned char>(text[i - 1])))) {
      const size_t end = SkipQuoted(text, i);
      Blank(&code, i + 1, end - 1);
      i = end;
    } else {
      ++i;
    }
  }
  return code;
}

std::vector<Include> Includes(std::string_view text) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> includes;
  int line_number = 0;
  for (const std::string_view line : Lines(text)) {
    ++line_number;
    std::match_results<std::string_view::const_iterator> match;
    if (std::regex_search(line.begin(), line.end(), match, pattern)) {
      includes.push_back({match[2].str(), match[1].str() == "<", line_number});
    }
  }
  return includes;
}

std::vector<Function> Functions(std::string_view text) {
  const std::string code = WithoutDirectives(CodeOnly(text));
  std::vector<Function> functions;
  size_t statement = 0;  // where the current statement begins
  int parentheses = 0;
  int depth = 0;  // braces inside a function or an initializer; 0: at namespace or class scope
  bool in_function = false;
  Function current;
  for (size_t i = 0; i < code.size(); ++i) {
    const char c = code[i];
    if (depth > 0) {
      if (c == '{') ++depth;
      if (c == '}' && --depth == 0) {
        statement = i + 1;
        current.last_line = LineOf(code, i);
        if (in_function) functions.push_back(current);
      }
      continue;
    }
    if (c == '(') ++parentheses;
    if (c == ')') --parentheses;
    if (parentheses > 0) continue;
    if (c == ';' || c == '}') statement = i + 1;
    if (c != '{') continue;
    const std::string_view head(code.data() + statement, i - statement);
    current = {};
    in_function = ReadHead(head, &current);
    const bool initializer = !in_function && head.find('=') != std::string_view::npos;
    if (in_function || initializer) {
      const size_t first = code.find_first_not_of(" \t\n", statement);
      current.first_line = LineOf(code, first);
      depth = 1;
    } else {
      statement = i + 1;
    }
  }
  return functions;
}

bool IsWordAt(std::string_view code, size_t offset, std::string_view word) {
  if (code.substr(offset, word.size()) != word) return false;
  const size_t end = offset + word.size();
  return (offset == 0 || !IsIdentifier(code[offset - 1])) &&
         (end >= code.size() || !IsIdentifier(code[end]));
}

std::vector<size_t> FindWord(std::string_view code, std::string_view word) {
  std::vector<size_t> offsets;
  for (size_t at = code.find(word); at != std::string_view::npos; at = code.find(word, at + 1)) {
    if (IsWordAt(code, at, word)) offsets.push_back(at);
  }
  return offsets;
}

}  // namespace gyrator::tidy

// Just enough C++ to check rules: what is code, what is included, where functions begin and end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gyrator::tidy {

// The text with comments and the insides of string and character literals turned into spaces;
// offsets and line breaks stay.
std::string CodeOnly(std::string_view text);

struct Include {
  std::string target;
  bool angled = false;  // <...>
  int line = 0;
};
std::vector<Include> Includes(std::string_view text);

// A function definition (methods and tests too; lambdas belong to the function around them).
struct Function {
  std::string name;
  int first_line = 0;  // of its declaration
  int last_line = 0;   // of its closing brace
  int num_parameters = 0;
  bool adjacent_bools = false;

  int num_lines() const { return last_line - first_line + 1; }
};
std::vector<Function> Functions(std::string_view text);

// True when `word` stands in `code` as a whole identifier at `offset`.
bool IsWordAt(std::string_view code, size_t offset, std::string_view word);
// Offsets of every whole-identifier occurrence.
std::vector<size_t> FindWord(std::string_view code, std::string_view word);

}  // namespace gyrator::tidy

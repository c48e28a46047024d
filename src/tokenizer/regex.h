// Regular expressions as Hugging Face tokenizers means them: Oniguruma's Ruby syntax, run by PCRE2.
//
// Translates the part of the syntax that tokenizers use and refuses the rest by name; classes
// (\s, \w, \p{...}) are written out so that they hold the same characters. The two differ only in
// code points that are younger than PCRE2's Unicode: docs/tokenizer.md.
// Immutable after Compile: safe for concurrent use.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gyrator/status.h"

namespace gyrator {

struct TextRange {
  size_t begin = 0;  // bytes
  size_t end = 0;
};

class Regex {
 public:
  // kUnsupported names the construct that is not known; kCorruption is not a regular expression.
  static Result<Regex> Compile(std::string_view pattern);
  // Matches `text` itself.
  static Result<Regex> Literal(std::string_view text);

  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // The matches in `text` (valid UTF-8), left to right. An empty match that touches the match
  // before it is left out. A pattern that backtracks beyond a limit, far above what Oniguruma
  // allows, counts as not matching from there on.
  void FindAll(std::string_view text, std::vector<TextRange>* matches) const;

  const std::string& pattern() const { return pattern_; }  // as given
  bool is_literal() const { return is_literal_; }

 private:
  struct Compiled;
  Regex(std::string pattern, bool is_literal, std::unique_ptr<Compiled> code);
  static Result<Regex> CompileTranslated(std::string_view pattern, const std::string& translated,
                                         bool is_literal);

  std::string pattern_;
  bool is_literal_ = false;
  std::unique_ptr<Compiled> code_;
};

// The members of \w of Rust's regex crate, for use within [ ]; Oniguruma's \w differs.
extern const std::string_view kRustWordMembers;

// The pattern in PCRE2's syntax. Part of Compile; here for its tests.
Result<std::string> TranslateRegex(std::string_view pattern);

}  // namespace gyrator

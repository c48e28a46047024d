#include "tokenizer/text_pattern.h"

#include <utility>

#include "tokenizer/json_fields.h"

namespace gyrator {

Result<TextPattern> ParseTextPattern(const Json& component) {
  GYRATOR_ASSIGN_OR_RETURN(const Json* pattern, ObjectField(component, "pattern", "pattern"));
  if (FindField(*pattern, "String")) {
    GYRATOR_ASSIGN_OR_RETURN(const std::string text, StringField(*pattern, "String"));
    GYRATOR_ASSIGN_OR_RETURN(Regex literal, Regex::Literal(text));
    return TextPattern(std::make_shared<const Regex>(std::move(literal)));
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string regex, StringField(*pattern, "Regex"));
  return MakeTextPattern(regex);
}

Result<TextPattern> MakeTextPattern(std::string_view regex) {
  GYRATOR_ASSIGN_OR_RETURN(Regex compiled, Regex::Compile(regex));
  return TextPattern(std::make_shared<const Regex>(std::move(compiled)));
}

std::string ReplaceAll(const Regex& pattern, std::string_view content, std::string_view text) {
  std::vector<TextRange> matches;
  pattern.FindAll(text, &matches);
  std::string out;
  size_t done = 0;
  for (const TextRange& match : matches) {
    out.append(text.substr(done, match.begin - done)).append(content);
    done = match.end;
  }
  return out.append(text.substr(done));
}

}  // namespace gyrator

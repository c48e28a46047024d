// The "pattern" of Split and Replace: {"String": text} or {"Regex": pattern}.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "gyrator/status.h"
#include "tokenizer/regex.h"

namespace gyrator {

// Immutable and shared: cheap to copy.
using TextPattern = std::shared_ptr<const Regex>;

// Regex::Compile's errors; kCorruption when it is neither form.
Result<TextPattern> ParseTextPattern(const Json& component);
Result<TextPattern> MakeTextPattern(std::string_view regex);

// `text` with every match replaced by `content`, literally.
std::string ReplaceAll(const Regex& pattern, std::string_view content, std::string_view text);

}  // namespace gyrator

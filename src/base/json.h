// JSON at the program's edges. The one place that meets the parser's exceptions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator {

using Json = nlohmann::ordered_json;  // keeps key order (tool schemas, chat.json)

// Parses one JSON document of at most `depth_max` nested levels. kCorruption names line, column and
// cause. Include <nlohmann/json.hpp> to use the value; never call its throwing accessors on
// untrusted values without checking the type first.
Result<Json> ParseJson(std::string_view text, int depth_max = 200);

// Compact UTF-8 text; invalid UTF-8 is replaced by U+FFFD.
std::string DumpJson(const Json& value, int indent = -1);

}  // namespace gyrator

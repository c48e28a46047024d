// JSON at the program's edges. The one place that meets the parser.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "gyrator/status.h"

namespace gyrator {

using Json = nlohmann::ordered_json;  // keeps key order (tool schemas, chat.json)

// What a name that an object has twice means.
enum class DuplicateNames {
  kLastWins,  // the first one's place, the last one's value, as Python's json has it
  kRefuse,
};

// What an integer beyond 64 bits becomes.
enum class LargeIntegers {
  kRound,   // the nearest number of floating point
  kRefuse,  // kCorruption, where its digits matter
};

// Parses one JSON document (RFC 8259) of at most `depth_max` nested levels, in time proportional to
// its length (n log n in the names of an object). kCorruption names line, column and cause. Include
// <nlohmann/json.hpp> to use the value; never call its throwing accessors on untrusted values
// without checking the type first. find() and contains() on an object walk its names: iterate large
// ones.
Result<Json> ParseJson(std::string_view text, int depth_max = 200,
                       DuplicateNames duplicates = DuplicateNames::kLastWins,
                       LargeIntegers large = LargeIntegers::kRound);
// Of what a template is given: integers beyond 64 bits are refused.
Result<Json> ParseExactJson(std::string_view text, int depth_max = 200);

// Compact UTF-8 text; invalid UTF-8 is replaced by U+FFFD.
std::string DumpJson(const Json& value, int indent = -1);

}  // namespace gyrator

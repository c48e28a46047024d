// Values of flags that are more than a number or a text.
//
// Errors are kInvalidArgument: the flag, what it takes, and what was found.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator::cli {

// "5,17,3"; empty text gives no numbers.
Status ParseList(const std::string& flag, std::string_view text, std::vector<int32_t>* numbers);

// "512M": bytes, or units of 1024, 1024^2, 1024^3.
Status ParseBytes(const std::string& flag, std::string_view text, uint64_t* bytes);

// "15043+1", "15043-0.5", "15043-inf": llama.cpp's form.
Result<std::pair<TokenId, float>> ParseBias(const std::string& text);

// By the names of --compute.
std::optional<ComputeType> ComputeOf(const std::string& name);

// A JSON object, or nothing: --chat-template-kwargs.
Status CheckVariables(const std::string& text);

}  // namespace gyrator::cli

// Typed fields of untrusted JSON objects, for tokenizer.json and its neighbours.
//
// Each takes an object, a key and what stands for an absent (or null) value; without that, absence
// is kCorruption, as is another type. Messages name the key, the expected and the found type.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "gyrator/status.h"

namespace gyrator {

bool IsNull(const Json& value);

// The member, or null when `object` is no object, has no such key, or holds null there.
const Json* FindField(const Json& object, std::string_view key);

Result<bool> BoolField(const Json& object, std::string_view key,
                       std::optional<bool> fallback = std::nullopt);
Result<std::string> StringField(const Json& object, std::string_view key,
                                std::optional<std::string> fallback = std::nullopt);
// From 0 to 2^31 - 1.
Result<int32_t> CountField(const Json& object, std::string_view key,
                           std::optional<int32_t> fallback = std::nullopt);
// The "type" of a component ("Sequence", "ByteLevel", ...).
Result<std::string> ComponentType(const Json& component, std::string_view what);
// The elements of an array; `what` names its owner.
Result<std::vector<const Json*>> ArrayField(const Json& object, std::string_view key,
                                            std::string_view what);
Result<const Json*> ObjectField(const Json& object, std::string_view key, std::string_view what);

}  // namespace gyrator

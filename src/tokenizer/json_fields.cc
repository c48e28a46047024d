#include "tokenizer/json_fields.h"

#include <limits>
#include <nlohmann/json.hpp>

namespace gyrator {

namespace {

Status Wrong(std::string_view key, std::string_view expected, const Json* found) {
  return Status::Corruption("\"" + std::string(key) + "\": expected " + std::string(expected) +
                            ", found " + (found ? found->type_name() : "nothing"));
}

}  // namespace

bool IsNull(const Json& value) { return value.is_null(); }

const Json* FindField(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

Result<bool> BoolField(const Json& object, std::string_view key, std::optional<bool> fallback) {
  const Json* field = FindField(object, key);
  if (!field && fallback) return *fallback;
  if (!field || !field->is_boolean()) return Wrong(key, "a boolean", field);
  return field->get<bool>();
}

Result<std::string> StringField(const Json& object, std::string_view key,
                                std::optional<std::string> fallback) {
  const Json* field = FindField(object, key);
  if (!field && fallback) return *std::move(fallback);
  if (!field || !field->is_string()) return Wrong(key, "a string", field);
  return field->get<std::string>();
}

Result<int32_t> CountField(const Json& object, std::string_view key,
                           std::optional<int32_t> fallback) {
  const Json* field = FindField(object, key);
  if (!field && fallback) return *fallback;
  if (!field || !field->is_number_integer()) return Wrong(key, "an integer", field);
  const bool fits = field->is_number_unsigned() &&
                    field->get<uint64_t>() <= uint64_t{std::numeric_limits<int32_t>::max()};
  if (!fits) return Wrong(key, "an integer from 0 to 2147483647", field);
  return static_cast<int32_t>(field->get<uint64_t>());
}

Result<std::string> ComponentType(const Json& component, std::string_view what) {
  if (!component.is_object()) return Wrong(what, "an object", &component);
  Result<std::string> type = StringField(component, "type");
  if (!type.ok()) return std::move(type).status().Annotate(what);
  return type;
}

Result<std::vector<const Json*>> ArrayField(const Json& object, std::string_view key,
                                            std::string_view what) {
  const Json* field = FindField(object, key);
  if (!field || !field->is_array()) return Wrong(key, "an array", field).Annotate(what);
  std::vector<const Json*> items;
  items.reserve(field->size());
  for (const Json& item : *field) items.push_back(&item);
  return items;
}

Result<const Json*> ObjectField(const Json& object, std::string_view key, std::string_view what) {
  const Json* field = FindField(object, key);
  if (!field || !field->is_object()) return Wrong(key, "an object", field).Annotate(what);
  return field;
}

}  // namespace gyrator

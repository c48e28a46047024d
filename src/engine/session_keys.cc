#include "engine/session_keys.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "snapshot/errors.h"
#include "snapshot/format.h"

namespace gyrator {

namespace {

constexpr std::string_view kVariables = "template_variables";

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '%') {
      escaped += fmt::format("%{:02X}", byte);
    } else {
      escaped += c;
    }
  }
  return escaped;
}

Result<std::string> Unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
      return StateInconsistent(kSessionFile, std::string(kNamespaceKey) +
                                                 ": two hexadecimal digits expected behind '%', "
                                                 "found '" +
                                                 std::string(digits) + "'");
    }
    plain += static_cast<char>(value);
    i += 2;
  }
  return plain;
}

}  // namespace

Result<std::string> OneLineVariables(std::string_view json) {
  if (json.empty()) return std::string();
  const Result<Json> value = ParseExactJson(json);
  const std::string found = !value.ok()          ? value.status().message()
                            : value->is_object() ? std::string()
                                                 : "found " + std::string(value->type_name());
  if (!found.empty()) {
    return Status::InvalidArgument("template variables: a JSON object expected, " + found)
        .Named(kVariables);
  }
  if (value->empty()) return std::string();
  // JSON escapes all control characters but this one, which no line of session.txt may have.
  std::string line;
  for (const char c : DumpJson(*value)) {
    if (c == '\x7f') {
      line += "\\u007f";
    } else {
      line += c;
    }
  }
  return line;
}

void WriteSessionKeys(const SessionKeys& state, KeyValues* keys) {
  if (!state.template_variables.empty()) keys->Set(kVariables, state.template_variables);
  if (!state.cache_namespace.empty()) keys->Set(kNamespaceKey, Escaped(state.cache_namespace));
}

Result<SessionKeys> ReadSessionKeys(const KeyValues& keys) {
  SessionKeys state;
  Result<std::string> variables = OneLineVariables(keys.Find(kVariables).value_or(""));
  if (!variables.ok()) return StateInconsistent(kSessionFile, variables.status().message());
  state.template_variables = *std::move(variables);
  GYRATOR_ASSIGN_OR_RETURN(state.cache_namespace, Unescaped(keys.Find(kNamespaceKey).value_or("")));
  return state;
}

}  // namespace gyrator

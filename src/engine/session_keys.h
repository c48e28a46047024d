// What session.txt says of a session besides its sampler: the variables of its template and the
// namespace of its prefixes.
//
// Keys (docs/formats/snapshot.md): `template_variables`, a JSON object on one line;
// `cache_namespace`, with every byte that is not printable ASCII, and '%' and space, as %XX. A key
// that is not there means none. Thread safety: free functions without state.
#pragma once

#include <string>
#include <string_view>

#include "base/keyvalue.h"
#include "gyrator/status.h"

namespace gyrator {

struct SessionKeys {
  std::string template_variables;  // one line; empty: none
  std::string cache_namespace;
};

// The object on one line, names in their order; empty for none and for an empty object.
// kInvalidArgument "template_variables": not the text of a JSON object.
Result<std::string> OneLineVariables(std::string_view json);

// Sets the keys of what is there. REQUIRES: variables as OneLineVariables gives them.
void WriteSessionKeys(const SessionKeys& state, KeyValues* keys);
// kCorruption "state_inconsistent" names the key.
Result<SessionKeys> ReadSessionKeys(const KeyValues& keys);

}  // namespace gyrator

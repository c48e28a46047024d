// metadata/protocol.txt (format version, writer, time) and metadata/obfchain.txt (transforms).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/keyvalue.h"
#include "gyrator/status.h"

namespace gyrator {

struct Protocol {
  int32_t minor = 0;
  std::string writer, writer_version;
  int64_t created_nanos = 0;  // UTC
  int32_t sequence = 0;       // among snapshots of one moment
};

// Writes what this program makes: v1.0, little-endian, exact; `requires` is the minor. `elements`
// is a list like "[chat,config]".
KeyValues MakeProtocol(const Protocol& protocol, std::string_view elements);

// "unsupported_protocol" when major or `requires` is newer than this program, or byte order or axis
// order is another; "missing_element" and "state_inconsistent" name the key. Unknown keys are fine.
Result<Protocol> ReadProtocol(const KeyValues& text);

// obfchain.txt: UTF-8 lines; '#' comments and empty lines; any operation is "chain_unknown_op"
// (with its line), for this version knows none.
Status CheckChain(std::string_view text);
inline constexpr std::string_view kEmptyChain = "# chain v1\n";

}  // namespace gyrator

#include "snapshot/protocol.h"

#include <algorithm>

#include "base/clock.h"
#include "base/utf8.h"
#include "snapshot/errors.h"
#include "snapshot/format.h"

namespace gyrator {

namespace {

constexpr std::string_view kVersion = "v1.0";
constexpr std::string_view kByteOrder = "little";
constexpr std::string_view kAxisOrder = "batch,heads,tokens,dim";

Result<std::string> Required(const KeyValues& text, std::string_view key) {
  Result<std::string> value = text.Get(key);
  if (!value.ok()) return MissingElement(std::string(kProtocolFile) + ": " + std::string(key));
  return value;
}

Result<int32_t> RequiredCount(const KeyValues& text, std::string_view key) {
  GYRATOR_RETURN_IF_ERROR(Required(text, key).status());
  const Result<int64_t> value = text.GetInt(key);
  if (!value.ok() || *value < 0 || *value > INT32_MAX) {
    return StateInconsistent(std::string(kProtocolFile) + ": " + std::string(key),
                             "expected a count");
  }
  return static_cast<int32_t>(*value);
}

Status RequireValue(const KeyValues& text, std::string_view key, std::string_view expected) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string found, Required(text, key));
  if (found == expected) return {};
  return UnsupportedProtocol(std::string(key) + ": this program reads '" + std::string(expected) +
                             "', found '" + found + "'");
}

}  // namespace

KeyValues MakeProtocol(const Protocol& protocol, std::string_view elements) {
  KeyValues text;
  text.Set("protocol", kVersion);
  text.SetInt("minor", protocol.minor);
  text.SetInt("requires", protocol.minor);
  text.Set("writer", protocol.writer);
  text.Set("writer_version", protocol.writer_version);
  text.Set("created", IsoFromNanos(protocol.created_nanos));
  text.SetInt("sequence", protocol.sequence);
  text.Set("byte_order", kByteOrder);
  text.Set("axis_order", kAxisOrder);
  text.Set("elements", elements);
  text.Set("exactness", "exact");
  return text;
}

Result<Protocol> ReadProtocol(const KeyValues& text) {
  // The version first: the other keys of a newer one may mean something else.
  GYRATOR_RETURN_IF_ERROR(RequireValue(text, "protocol", kVersion));
  GYRATOR_ASSIGN_OR_RETURN(const int32_t requires_minor, RequiredCount(text, "requires"));
  if (requires_minor > kFormatMinor) {
    return UnsupportedProtocol("requires minor " + std::to_string(requires_minor) +
                               ", this program knows " + std::to_string(kFormatMinor));
  }
  GYRATOR_RETURN_IF_ERROR(RequireValue(text, "byte_order", kByteOrder));
  GYRATOR_RETURN_IF_ERROR(RequireValue(text, "axis_order", kAxisOrder));
  Protocol protocol;
  GYRATOR_ASSIGN_OR_RETURN(protocol.minor, RequiredCount(text, "minor"));
  GYRATOR_ASSIGN_OR_RETURN(protocol.writer, Required(text, "writer"));
  GYRATOR_ASSIGN_OR_RETURN(protocol.writer_version, Required(text, "writer_version"));
  GYRATOR_ASSIGN_OR_RETURN(protocol.sequence, RequiredCount(text, "sequence"));
  GYRATOR_ASSIGN_OR_RETURN(const std::string created, Required(text, "created"));
  const Result<int64_t> nanos = NanosFromIso(created);
  if (!nanos.ok()) {
    return StateInconsistent(std::string(kProtocolFile) + ": created", nanos.status().message());
  }
  protocol.created_nanos = *nanos;
  return protocol;
}

Status CheckChain(std::string_view text) {
  if (!IsValidUtf8(text)) return StateInconsistent(kChainFile, "not UTF-8");
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool version = number == 1 && line.starts_with("# chain ");
    if (line.empty() || (line[0] == '#' && (!version || line == "# chain v1"))) continue;
    const std::string_view op = version ? line : line.substr(0, line.find(' '));
    return Status::Unsupported(std::string(kChainFile) + ": line " + std::to_string(number) +
                               ": unknown operation '" + std::string(op.substr(0, 80)) + "'")
        .Named("chain_unknown_op");
  }
  return {};
}

}  // namespace gyrator

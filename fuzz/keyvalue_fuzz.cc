// key: value text: what Parse takes, Serialize gives back, and Parse takes again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/keyvalue.h"
#include "snapshot/identity.h"
#include "snapshot/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)gyrator::CheckChain(text);
  const auto parsed = gyrator::KeyValues::Parse(text);
  if (!parsed.ok()) return 0;
  GYRATOR_CHECK(parsed->Check().ok());
  const std::string out = parsed->Serialize();
  const auto again = gyrator::KeyValues::Parse(out);
  GYRATOR_CHECK(again.ok() && *again == *parsed && again->Serialize() == out);
  (void)gyrator::ReadProtocol(*parsed);
  (void)gyrator::GeometryFromConfig(*parsed);
  GYRATOR_CHECK(gyrator::CheckIdentity(*parsed, *parsed, {}).ok());
  return 0;
}

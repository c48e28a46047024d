// JSON: whatever parses can be written, and reads back as the same value.
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const std::string_view text = AsText(std::as_bytes(std::span(data, size)));
  const auto value = ParseJson(text, 50);
  const auto strict = ParseJson(text, 50, DuplicateNames::kRefuse);
  GYRATOR_CHECK(!strict.ok() || (value.ok() && *value == *strict));
  if (!value.ok()) return 0;
  const std::string written = DumpJson(*value);
  const auto again = ParseJson(written, 50, DuplicateNames::kRefuse);
  GYRATOR_CHECK(again.ok() && DumpJson(*again) == written);
  return 0;
}

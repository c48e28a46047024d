// JSON: whatever parses can be written, and reads back as the same value. The scanner, which builds
// no values, takes the same texts.
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/check.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"

namespace {

constexpr int kDepth = 50;

void CheckScanner(std::string_view text, const gyrator::Result<gyrator::Json>& value) {
  if (!gyrator::IsValidUtf8(text)) return;
  gyrator::JsonScanner scanner(text, kDepth);
  std::string squeezed;
  const bool taken = scanner.Value(&squeezed).ok() && scanner.ExpectEnd().ok();
  if (value.ok()) {
    GYRATOR_CHECK(taken && *gyrator::ParseJson(squeezed, kDepth) == *value);
  } else {
    // A number beyond what a double holds is one to the scanner.
    GYRATOR_CHECK(!taken || value.status().message().find("overflow") != std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const std::string_view text = AsText(std::as_bytes(std::span(data, size)));
  const auto value = ParseJson(text, kDepth);
  CheckScanner(text, value);
  const auto strict = ParseJson(text, kDepth, DuplicateNames::kRefuse);
  GYRATOR_CHECK(!strict.ok() || (value.ok() && *value == *strict));
  if (!value.ok()) return 0;
  const std::string written = DumpJson(*value);
  const auto again = ParseJson(written, kDepth, DuplicateNames::kRefuse);
  GYRATOR_CHECK(again.ok() && DumpJson(*again) == written);
  return 0;
}

// metadata/window.txt: what ParseWindow takes, FormatWindow gives back to the byte.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "snapshot/window_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kCp = 40, kVocab = 1000;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto window = gyrator::ParseWindow(text, kCp, kVocab);
  if (!window.ok()) {
    GYRATOR_CHECK(window.status().name() == "state_inconsistent");
    return 0;
  }
  GYRATOR_CHECK(gyrator::FormatWindow(*window) == text);
  GYRATOR_CHECK(window->ExactPositions(kCp) >= 0 && window->ExactPositions(kCp) <= kCp);
  return 0;
}

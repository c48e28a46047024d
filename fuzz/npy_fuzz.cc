// npy: whatever parses can be made native, and the array that we write from it is the same one.
#include "base/check.h"
#include "formats/npy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const auto array = ParseNpy(std::as_bytes(std::span(data, size)));
  if (!array.ok()) return 0;
  const std::vector<std::byte> native = NativeCopy(*array);
  const std::string text = NpyHeader(array->dtype, array->shape) + std::string(AsText(native));
  const auto again = ParseNpy(AsBytes(text));
  GYRATOR_CHECK(again.ok() && again->IsNative());
  GYRATOR_CHECK(again->dtype == array->dtype && again->shape == array->shape);
  GYRATOR_CHECK(AsText(again->data) == AsText(native));
  return 0;
}

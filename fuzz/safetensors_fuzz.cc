// safetensors: whatever parses can be used, and written and read again.
#include "formats/format_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const auto file = ParseSafetensors(std::as_bytes(std::span(data, size)), nullptr);
  if (!file.ok() || !WalkTensors(file->tensors)) return 0;
  SafetensorsWriter writer;
  for (const auto& [key, value] : file->metadata) writer.SetMetadata(key, value);
  CopyTensors(file->tensors, &writer);
  Status status;
  const std::string text = WrittenBy(writer, &status);
  GYRATOR_CHECK(status.ok());
  const auto again = ParseSafetensors(AsBytes(text), nullptr);
  GYRATOR_CHECK(again.ok() && again->metadata == file->metadata);
  for (const TensorIndex::Entry& entry : file->tensors.entries()) {
    const auto view = again->tensors.Get(entry.name);
    GYRATOR_CHECK(view.ok() && view->dtype == entry.view.dtype && view->shape == entry.view.shape);
    GYRATOR_CHECK(AsText(view->bytes) == AsText(entry.view.bytes));
  }
  return 0;
}

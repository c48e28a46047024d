// GGUF: whatever parses can be used, and written and read again.
#include "formats/format_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const auto file = GgufFile::Parse(std::as_bytes(std::span(data, size)), nullptr);
  if (!file.ok()) return 0;
  WalkValues(*file);
  WalkTensors(file->tensors());
  GgufWriter writer;
  std::vector<std::string_view> copied;
  for (std::string_view key : file->keys()) {
    if (key == "general.alignment") continue;  // the writer has its own
    if (CopyValue(*file, key, &writer)) copied.push_back(key);
  }
  CopyTensors(file->tensors(), &writer);
  Status status;
  const std::string text = WrittenBy(writer, &status);
  GYRATOR_CHECK(status.ok());
  const auto again = GgufFile::Parse(AsBytes(text), nullptr);
  GYRATOR_CHECK(again.ok() && again->keys() == copied);
  for (std::string_view key : copied) {
    GYRATOR_CHECK(AsText(again->Find(key)->bytes) == AsText(file->Find(key)->bytes));
  }
  for (const TensorIndex::Entry& entry : again->tensors().entries()) {
    const auto view = file->tensors().Get(entry.name);
    GYRATOR_CHECK(view.ok() && AsText(view->bytes) == AsText(entry.view.bytes));
  }
  return 0;
}

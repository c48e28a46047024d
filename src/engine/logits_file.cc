#include "gyrator/logits_file.h"

#include "base/check.h"
#include "formats/npy.h"
#include "formats/output_file.h"

namespace gyrator {

Status WriteLogits(const std::string& path, std::span<const float> rows, int64_t vocab) {
  GYRATOR_CHECK(vocab > 0);
  const auto count = static_cast<int64_t>(rows.size());
  GYRATOR_CHECK(count % vocab == 0);
  return WriteWholeFile(path, [&](const ByteSink& sink) -> Status {
    GYRATOR_RETURN_IF_ERROR(sink(AsBytes(NpyHeader(DType::kF32, {count / vocab, vocab}))));
    return sink(std::as_bytes(rows));
  });
}

}  // namespace gyrator

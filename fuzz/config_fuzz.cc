// config.json, or a whole GGUF model: whatever is accepted can be run.
#include <vector>

#include "base/check.h"
#include "base/thread_pool.h"
#include "formats/gguf.h"
#include "formats/hf_config.h"
#include "model/family.h"
#include "model/forward.h"

namespace gyrator {
namespace {

constexpr uint64_t kKvBytesMax = 1 << 26;

// One token through the model.
void RunOnce(const ModelConfig& config, const Weights& weights, ComputeType compute) {
  ThreadPool threads(1);
  PagedKv kv = {.num_layers = config.num_layers,
                .num_blocks = 1,
                .num_kv_heads = config.num_kv_heads,
                .head_dim = config.head_dim};
  if (static_cast<uint64_t>(kv.total_bytes()) > kKvBytesMax) return;
  std::vector<std::byte> memory(static_cast<size_t>(kv.total_bytes()));
  kv.base = memory.data();
  const auto arena = CreateForwardArena(config, compute, 1, 1);
  GYRATOR_CHECK(arena.ok());
  const TokenId tokens[] = {config.vocab - 1};
  const uint32_t blocks[] = {0};
  const SequenceRows batch[] = {{tokens, 0, {blocks, 1}, 1}};
  std::vector<float> logits(static_cast<size_t>(config.vocab));
  const Status status =
      Forward({&config, &weights, FindOps("ref"), &threads, arena->get(), nullptr}, kv, batch,
              logits.data());
  GYRATOR_CHECK(status.ok() || status.name() == "not_finite");
}

void LoadAndRun(const GgufFile& file) {
  const auto config = ConfigFromGguf(file);
  if (!config.ok()) return;
  GYRATOR_CHECK(CheckConfig(*config).ok());
  ThreadPool threads(1);
  for (const ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    const auto weights =
        LoadWeights(*config, {&file.tensors(), SourceFormat::kGguf}, {compute, &threads, {}});
    if (weights.ok()) RunOnce(*config, *weights, compute);
  }
}

}  // namespace
}  // namespace gyrator

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gyrator;
  const ByteSpan bytes = std::as_bytes(std::span(data, size));
  const auto file = GgufFile::Parse(bytes, nullptr);
  if (file.ok()) {
    LoadAndRun(*file);
    return 0;
  }
  const auto source = ParseHfConfig(AsText(bytes));
  if (!source.ok()) return 0;
  const auto config = ConfigFromHf(*source);
  if (!config.ok()) return 0;
  GYRATOR_CHECK(CheckConfig(*config).ok());
  GYRATOR_CHECK(IdentityOf(*config).Check().ok());
  GYRATOR_CHECK(!IdentityOf(*config).lines().empty());
  return 0;
}

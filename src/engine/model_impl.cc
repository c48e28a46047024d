#include "engine/model_impl.h"

#include <filesystem>
#include <thread>
#include <utility>

#include "base/thread_pool.h"
#include "base/wall.h"
#include "engine/digest_cache.h"

namespace gyrator {

namespace {

int ThreadCount(int requested) {
  return requested > 0 ? requested
                       : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// The text side, or null for a folder that has weights only.
Result<std::shared_ptr<const TextModelImpl>> OpenText(const std::string& path) {
  auto text = TextModelImpl::Open(path);
  if (!text.ok() && text.status().code() == Code::kNotFound) {
    return std::shared_ptr<const TextModelImpl>();
  }
  return text;
}

ModelInfo Describe(const LoadedModel& loaded, const Ops& ops) {
  const ModelConfig& config = loaded.config;
  ModelInfo info{.path = loaded.path,
                 .name = config.name,
                 .family = config.family,
                 .isa = std::string(ops.name),
                 .numerics = {},
                 .compute = loaded.compute,
                 .stored = loaded.stored,
                 .parameters = loaded.parameters,
                 .num_layers = config.num_layers,
                 .hidden = config.hidden,
                 .num_heads = config.num_heads,
                 .num_kv_heads = config.num_kv_heads,
                 .head_dim = config.head_dim,
                 .ffn = config.ffn,
                 .vocab = config.vocab,
                 .context_max = config.context_max,
                 .rope = config.rope.scaling};
  for (const std::string& file : loaded.files) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(file, error);
    if (!error) info.file_bytes += static_cast<int64_t>(bytes);
  }
  return info;
}

}  // namespace

Result<const Ops*> ChooseOps(const std::string& isa) {
  if (const Ops* ops = FindOps(isa)) return ops;
  const bool known = isa == "avx2" || isa == "avx512";
  std::string available = "auto";
  for (const Ops* ops : AvailableOps()) available += ", " + std::string(ops->name);
  const std::string message = "isa '" + isa + "': this CPU runs " + available;
  return known ? Status::Unsupported(message) : Status::InvalidArgument(message);
}

Result<std::shared_ptr<const Model>> Model::Load(const std::string& path,
                                                 const ModelOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const Ops* ops, ChooseOps(options.isa));
  if (options.threads < 0 || options.threads > kThreadsMax) {
    return Status::InvalidArgument("threads: 0 (one a core) to " + std::to_string(kThreadsMax) +
                                   " expected, found " + std::to_string(options.threads));
  }
  GYRATOR_ASSIGN_OR_RETURN(auto text, OpenText(path));
  const int num_threads = ThreadCount(options.threads);
  const std::string what = path + ": loading with " + std::to_string(num_threads) + " threads";
  return BehindWall(what, [&]() -> Result<std::shared_ptr<const Model>> {
    ThreadPool threads(num_threads);
    GYRATOR_ASSIGN_OR_RETURN(LoadedModel loaded, LoadModel(path, {.compute = options.compute,
                                                                  .threads = &threads,
                                                                  .progress = options.progress}));
    return std::shared_ptr<const Model>(
        std::make_shared<const ModelImpl>(std::move(loaded), std::move(text), ops, options));
  });
}

ModelImpl::ModelImpl(LoadedModel loaded, std::shared_ptr<const TextModelImpl> text, const Ops* ops,
                     ModelOptions options)
    : loaded_(std::move(loaded)),
      text_(std::move(text)),
      public_text_(text_),
      ops_(ops),
      options_(std::move(options)),
      info_(Describe(loaded_, *ops)) {
  info_.numerics = numerics();
}

std::string ModelImpl::numerics() const {
  switch (loaded_.compute) {
    case ComputeType::kF32:
      return "f32.v1";
    case ComputeType::kBF16:
      return std::string(ops_->bf16_numerics);
    case ComputeType::kInt8:
      return "int8.v1";
  }
  return {};
}

Result<std::string> ModelImpl::WeightsDigest(bool recompute) const {
  GYRATOR_ASSIGN_OR_RETURN(const std::string key, DigestCacheKey(loaded_.files));
  const bool cached = !options_.digest_cache.empty();
  if (cached && !recompute) {
    if (auto digest = FindDigest(options_.digest_cache, key)) return *std::move(digest);
  }
  ThreadPool threads(ThreadCount(options_.threads));
  const std::string digest =
      HexText(gyrator::WeightsDigest(loaded_.tensors, &threads, options_.progress));
  // A cache that cannot be written only costs time.
  if (cached) (void)StoreDigest(options_.digest_cache, key, digest);
  return digest;
}

}  // namespace gyrator

#include "engine/model_impl.h"

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>

#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "base/wall.h"
#include "engine/model_path.h"
#include "formats/gguf_parts.h"
#include "model/added_error.h"
#include "tensor/weight_format.h"

namespace gyrator {

namespace {

int ThreadCount(int requested) {
  return requested > 0 ? requested
                       : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// `text`, or null and the reason in `missing` for a model that has no tokenizer that is read.
Result<std::shared_ptr<const TextModelImpl>> OrNone(
    Result<std::shared_ptr<const TextModelImpl>> text, const std::string& path, Status* missing) {
  if (text.ok()) return text;
  const Status& status = text.status();
  const bool none = status.code() == Code::kNotFound || status.name() == "foreign_tokenizer";
  if (!none) return text;
  *missing = status.code() == Code::kNotFound
                 ? Status::Unsupported(path + ": no tokenizer; give token ids (--tokens)")
                 : status;
  return std::shared_ptr<const TextModelImpl>();
}

// Both sides of a model. Of a GGUF file they come from one mapping.
struct OpenedModel {
  std::shared_ptr<const TextModelImpl> text;  // null: none that is read, for the reason `missing`
  Status missing;
  LoadedModel loaded;
};

Result<OpenedModel> OpenBoth(const std::string& path, const TextOptions& text,
                             const ModelLoadOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const ModelPath kind, ClassifyModelPath(path));
  OpenedModel model;
  if (kind == ModelPath::kFolder) {
    GYRATOR_ASSIGN_OR_RETURN(model.text,
                             OrNone(TextModelImpl::Open(path, text), path, &model.missing));
    GYRATOR_ASSIGN_OR_RETURN(model.loaded, LoadModel(path, options));
    return model;
  }
  GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, OpenGguf(path));
  GYRATOR_ASSIGN_OR_RETURN(model.text,
                           OrNone(TextModelImpl::FromGguf(file, path, text), path, &model.missing));
  GYRATOR_ASSIGN_OR_RETURN(model.loaded, LoadModel(file, path, options));
  return model;
}

// Ids that the tokenizer has and the embedding lacks can be written by a text, never read.
void CompareVocabularies(OpenedModel* model) {
  if (model->text == nullptr) return;
  const int32_t ids = model->text->vocab_size(), rows = model->loaded.config.vocab;
  if (ids <= rows) return;
  model->loaded.notes.push_back("the tokenizer has " + std::to_string(ids) +
                                " ids, the model's vocabulary " + std::to_string(rows) +
                                ": a text that needs a later id is refused");
}

// Bytes of the tensors of each type, most first.
std::vector<StoredBytes> CountStored(const TensorIndex& tensors) {
  std::vector<StoredBytes> stored;
  for (const WeightFormat& format : AllFormats()) {
    int64_t bytes = 0;
    for (const TensorIndex::Entry& entry : tensors.entries()) {
      const bool of_this = entry.foreign_type.empty() && entry.view.dtype == format.dtype;
      if (of_this) bytes += static_cast<int64_t>(entry.view.bytes.size());
    }
    if (bytes > 0) stored.push_back({format.dtype, bytes});
  }
  std::ranges::stable_sort(stored, std::ranges::greater(), &StoredBytes::bytes);
  return stored;
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
                 .stored_bytes = CountStored(loaded.tensors),
                 .operand_bytes = static_cast<int64_t>(OperandBytes(loaded.weights)),
                 .num_layers = config.num_layers,
                 .hidden = config.hidden,
                 .num_heads = config.num_heads,
                 .num_kv_heads = config.num_kv_heads,
                 .head_dim = config.head_dim,
                 .ffn = config.ffn,
                 .vocab = config.vocab,
                 .context_max = config.context_max,
                 .rope = config.rope.scaling,
                 .notes = loaded.notes};
  for (const auto& file : loaded.tensors.files()) {
    info.file_bytes += static_cast<int64_t>(file->bytes().size());
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
  const int num_threads = ThreadCount(options.threads);
  const std::string what = path + ": loading with " + std::to_string(num_threads) + " threads";
  return BehindWall(what, [&]() -> Result<std::shared_ptr<const Model>> {
    ThreadPool threads(num_threads);
    GYRATOR_ASSIGN_OR_RETURN(OpenedModel model, OpenBoth(path, options.text,
                                                         {.compute = options.compute,
                                                          .threads = &threads,
                                                          .progress = options.progress,
                                                          .repack = options.repack}));
    CompareVocabularies(&model);
    return std::shared_ptr<const Model>(std::make_shared<const ModelImpl>(
        std::move(model.loaded), TextSide{std::move(model.text), model.missing}, ops, options));
  });
}

ModelImpl::ModelImpl(LoadedModel loaded, TextSide text, const Ops* ops, ModelOptions options)
    : loaded_(std::move(loaded)),
      text_(std::move(text.model)),
      text_status_(std::move(text.missing)),
      public_text_(text_),
      ops_(ops),
      options_(std::move(options)),
      info_(Describe(loaded_, *ops)),
      digest_(&loaded_.tensors, options_.digest_cache) {
  info_.numerics = numerics();
}

std::string ModelImpl::numerics() const {
  switch (loaded_.compute) {
    case ComputeType::kF32:
      return "f32.v1";
    case ComputeType::kBF16:
      return std::string(ops_->bf16_numerics);
    case ComputeType::kInt8:
      return loaded_.weights.requantized ? "int8.q8.v1" : "int8.v1";
  }
  return {};
}

Result<std::string> ModelImpl::WeightsDigest(bool recompute) const {
  const auto hash = [this] {
    ThreadPool threads(ThreadCount(options_.threads));
    return HexText(gyrator::WeightsDigest(loaded_.tensors, &threads, options_.progress));
  };
  return BehindWall("hashing the weights",
                    [&] { return recompute ? digest_.Recompute(hash) : digest_.Get(hash); });
}

Result<double> ModelImpl::AddedError() const {
  return BehindWall("measuring the weights", [this]() -> Result<double> {
    ThreadPool threads(ThreadCount(options_.threads));
    return gyrator::AddedError(loaded_, &threads, options_.progress);
  });
}

}  // namespace gyrator

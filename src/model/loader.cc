#include "model/loader.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

#include "base/mapped_file.h"
#include "base/memory_room.h"
#include "formats/gguf_parts.h"
#include "formats/hf_config.h"
#include "formats/lfs_pointer.h"
#include "formats/safetensors.h"
#include "model/family.h"
#include "tensor/weight_format.h"

namespace gyrator {

namespace {

constexpr uint64_t kConfigBytesMax = 16 << 20;
constexpr uint64_t kHashPiece = 4 << 20;  // bytes between two reports of progress

// The dtype that holds most bytes of tensors with two dimensions.
DType StoredDType(const TensorIndex& tensors) {
  std::map<DType, uint64_t> bytes;
  for (const TensorIndex::Entry& entry : tensors.entries()) {
    if (entry.view.shape.size() == 2) bytes[entry.view.dtype] += entry.view.bytes.size();
  }
  const auto most = std::ranges::max_element(
      bytes, [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? DType::kF32 : most->first;
}

int64_t CountParameters(const ModelConfig& config) {
  int64_t count = 0;
  for (const TensorSpec& spec : FamilyOf(config).tensors()) {
    if (!spec.exists(config)) continue;
    const int64_t elements = NumElements(TensorShape(spec, config)).value_or(0);
    count += elements * (spec.per_layer() ? config.num_layers : 1);
  }
  return count;
}

// A config may say that the head is the embedding although the file has a head of its own. Where
// the two differ the file's head counts, as in transformers 5.
void UseOwnHead(LoadedModel* model) {
  constexpr std::string_view kHead = "lm_head.weight";
  if (!model->config.tied_head || !model->tensors.Contains(kHead)) return;
  const auto head = model->tensors.Get(kHead);
  const auto embedding = model->tensors.Get("model.embed_tokens.weight");
  const bool same = head.ok() && embedding.ok() && head->dtype == embedding->dtype &&
                    head->shape == embedding->shape &&
                    std::ranges::equal(head->bytes, embedding->bytes);
  if (same) return;
  model->config.tied_head = false;
  model->notes.push_back(
      "config.json says tie_word_embeddings, but lm_head.weight differs from the embedding: the "
      "file's own head is used");
}

// A part alone has some of the tensors only, and may have no metadata of a model.
Status CheckIsWhole(const GgufFile& file) {
  GYRATOR_ASSIGN_OR_RETURN(const auto count, file.GetOr<int64_t>("split.count", 1));
  if (count <= 1 || count == file.num_parts()) return {};
  return Status::Unsupported("expected all " + std::to_string(count) +
                             " parts of the GGUF file, found " + std::to_string(file.num_parts()));
}

Status OpenGguf(const GgufFile& file, LoadedModel* model) {
  GYRATOR_RETURN_IF_ERROR(CheckIsWhole(file).Annotate(model->path));
  GYRATOR_ASSIGN_OR_RETURN(model->config, ConfigFromGguf(file));
  model->tensors = file.tensors();
  return {};
}

// The folder's own name, wherever the process stands ("." has none).
std::string NameOfFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::path whole = std::filesystem::absolute(path, error);
  if (error) whole = path;
  return (whole / ".").lexically_normal().parent_path().filename().string();
}

Status OpenFolder(LoadedModel* model) {
  const std::string file = model->path + "/config.json";
  GYRATOR_ASSIGN_OR_RETURN(const std::string json, ReadSmallFile(file, kConfigBytesMax));
  GYRATOR_RETURN_IF_ERROR(CheckIsNoLfsPointer(file, json));
  GYRATOR_ASSIGN_OR_RETURN(const HfConfig source, ParseHfConfig(json));
  GYRATOR_ASSIGN_OR_RETURN(model->config, ConfigFromHf(source));
  model->config.name = PlainName(NameOfFolder(model->path));
  GYRATOR_ASSIGN_OR_RETURN(model->tensors, OpenSafetensorsFolder(model->path));
  UseOwnHead(model);
  return {};
}

// What follows when config and tensors are known.
Result<LoadedModel> Finish(LoadedModel model, SourceFormat format,
                           const ModelLoadOptions& options) {
  model.format = format;
  model.stored = StoredDType(model.tensors);
  model.compute = options.compute.value_or(DefaultCompute(model.stored));
  model.parameters = CountParameters(model.config);
  auto weights = LoadWeights(model.config, {&model.tensors, format},
                             {.compute = model.compute,
                              .threads = options.threads,
                              .progress = options.progress,
                              .memory_room = MemoryRoom(),
                              .repack = options.repack});
  if (!weights.ok()) return std::move(weights).status().Annotate(model.path);
  model.weights = *std::move(weights);
  return model;
}

}  // namespace

ComputeType DefaultCompute(DType stored) {
  if (FormatOf(stored).is_block()) return ComputeType::kInt8;
  return stored == DType::kBF16 ? ComputeType::kBF16 : ComputeType::kF32;
}

Result<LoadedModel> LoadModel(const GgufFile& file, const std::string& path,
                              const ModelLoadOptions& options) {
  LoadedModel model;
  model.path = path;
  GYRATOR_RETURN_IF_ERROR(OpenGguf(file, &model));
  return Finish(std::move(model), SourceFormat::kGguf, options);
}

Result<LoadedModel> LoadModel(const std::string& path, const ModelLoadOptions& options) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, OpenGguf(path));
    return LoadModel(file, path, options);
  }
  LoadedModel model;
  model.path = path;
  GYRATOR_RETURN_IF_ERROR(OpenFolder(&model));
  return Finish(std::move(model), SourceFormat::kHuggingFace, options);
}

Sha256Digest WeightsDigest(const TensorIndex& tensors, ThreadPool* threads,
                           const Progress& progress) {
  std::vector<const TensorIndex::Entry*> sorted;
  uint64_t total = 0;
  for (const TensorIndex::Entry& entry : tensors.entries()) {
    sorted.push_back(&entry);
    total += entry.view.bytes.size();
  }
  std::ranges::sort(sorted, {}, &TensorIndex::Entry::name);

  std::vector<Sha256Digest> digests(sorted.size());
  std::atomic<uint64_t> done{0};
  const auto caller = std::this_thread::get_id();
  const auto body = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      Sha256 hash;
      ByteSpan rest = sorted[static_cast<size_t>(i)]->view.bytes;
      while (!rest.empty()) {
        const ByteSpan piece = rest.first(std::min<uint64_t>(rest.size(), kHashPiece));
        hash.Update(piece);
        tensors.Release(piece);  // the process holds the weights packed already
        rest = rest.subspan(piece.size());
        const uint64_t now = done.fetch_add(piece.size()) + piece.size();
        if (progress && std::this_thread::get_id() == caller) {
          progress("hashing weights", now, total);
        }
      }
      digests[static_cast<size_t>(i)] = hash.Finish();
    }
  };
  threads->ParallelFor(static_cast<int64_t>(sorted.size()), 1, body);
  if (progress) progress("hashing weights", total, total);

  Sha256 root;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const TensorIndex::Entry& entry = *sorted[i];
    root.Update(AsBytes(entry.name + " " + std::string(DTypeName(entry.view.dtype)) + " " +
                        ShapeText(entry.view.shape) + " " + HexText(digests[i]) + "\n"));
  }
  return root.Finish();
}

}  // namespace gyrator

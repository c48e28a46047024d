#include "model/loader.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

#include "base/mapped_file.h"
#include "formats/gguf.h"
#include "formats/hf_config.h"
#include "formats/safetensors.h"
#include "model/family.h"

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

Status OpenGguf(const std::string& path, LoadedModel* model) {
  GYRATOR_ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(path));
  GYRATOR_ASSIGN_OR_RETURN(model->config, ConfigFromGguf(file));
  model->tensors = file.tensors();
  model->files = {path};
  return {};
}

// The files that OpenSafetensorsFolder may have read, sorted.
std::vector<std::string> WeightFiles(const std::string& folder) {
  std::error_code error;
  if (std::filesystem::exists(folder + "/model.safetensors", error)) {
    return {folder + "/model.safetensors"};
  }
  std::vector<std::string> files = {folder + "/model.safetensors.index.json"};
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().extension() == ".safetensors") files.push_back(it->path().string());
  }
  std::ranges::sort(files);
  return files;
}

Status OpenFolder(const std::string& path, LoadedModel* model) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string json,
                           ReadSmallFile(path + "/config.json", kConfigBytesMax));
  GYRATOR_ASSIGN_OR_RETURN(const HfConfig source, ParseHfConfig(json));
  GYRATOR_ASSIGN_OR_RETURN(model->config, ConfigFromHf(source));
  const auto normal = std::filesystem::path(path + "/.").lexically_normal();  // ends in a slash
  model->config.name = normal.parent_path().filename().string();
  GYRATOR_ASSIGN_OR_RETURN(model->tensors, OpenSafetensorsFolder(path));
  model->files = WeightFiles(path);
  return {};
}

}  // namespace

ComputeType DefaultCompute(DType stored) {
  switch (stored) {
    case DType::kBF16:
      return ComputeType::kBF16;
    case DType::kQ8_0:
      return ComputeType::kInt8;
    default:
      return ComputeType::kF32;
  }
}

Result<LoadedModel> LoadModel(const std::string& path, const ModelLoadOptions& options) {
  LoadedModel model;
  model.path = path;
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  Status opened = is_folder ? OpenFolder(path, &model) : OpenGguf(path, &model);
  if (!opened.ok()) return opened;
  model.stored = StoredDType(model.tensors);
  model.compute = options.compute.value_or(DefaultCompute(model.stored));
  model.parameters = CountParameters(model.config);
  const WeightSource source = {&model.tensors,
                               is_folder ? SourceFormat::kHuggingFace : SourceFormat::kGguf};
  auto weights =
      LoadWeights(model.config, source, {model.compute, options.threads, options.progress});
  if (!weights.ok()) return std::move(weights).status().Annotate(path);
  model.weights = *std::move(weights);
  return model;
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

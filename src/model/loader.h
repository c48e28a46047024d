// From a path to a model that can run: config, tensors checked, weights in operand format.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "base/thread_pool.h"
#include "formats/tensor_file.h"
#include "gyrator/model.h"
#include "gyrator/status.h"
#include "model/config.h"
#include "model/weights.h"

namespace gyrator {

class GgufFile;

struct ModelLoadOptions {
  std::optional<ComputeType> compute;  // Default: DefaultCompute of the stored dtype
  ThreadPool* threads = nullptr;       // REQUIRED; used during the call only
  Progress progress;
  bool repack = true;  // WeightOptions::repack
};

// A model in memory. Movable; the weights point into `tensors` and into memory that they own.
struct LoadedModel {
  std::string path;                // as given
  std::vector<std::string> notes;  // what the user should know of the files, a sentence each
  ModelConfig config;
  ComputeType compute = ComputeType::kF32;
  DType stored = DType::kF32;  // of the matrices: the dtype that holds most of their bytes
  int64_t parameters = 0;      // elements of all tensors of the table; a tied head counts once
  TensorIndex tensors;         // as stored, with the mapped files that a digest is of
  SourceFormat format = SourceFormat::kHuggingFace;  // of the names in `tensors`
  Weights weights;
};

// `path` is a Hugging Face folder (config.json, *.safetensors), a .gguf file or the first part of a
// split one.
// kNotFound; kCorruption and kUnsupported name file, field or tensor, what was expected and what
// was found; kExhausted when converted weights do not fit into memory.
Result<LoadedModel> LoadModel(const std::string& path, const ModelLoadOptions& options);
// The model of an opened file, for callers that read other things from the same file: two opens of
// one path may give two files. kUnsupported also for a part of a split file to which the others
// were not added (OpenGguf adds them).
Result<LoadedModel> LoadModel(const GgufFile& file, const std::string& path,
                              const ModelLoadOptions& options);

// F32, F16: f32. BF16: bf16. All block types: int8.
ComputeType DefaultCompute(DType stored);

// Names the content of weight files, whatever is computed with it: SHA-256 of one line
// "<name> <dtype> <shape> <sha256 of the stored bytes, hex>\n" a tensor, sorted by name, shape as
// "[4, 256]". Tensors are hashed in parallel; progress "hashing weights" counts bytes.
Sha256Digest WeightsDigest(const TensorIndex& tensors, ThreadPool* threads,
                           const Progress& progress);

}  // namespace gyrator

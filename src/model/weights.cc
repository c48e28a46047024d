#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/aligned_buffer.h"
#include "model/convert.h"
#include "model/family.h"
#include "model/pack.h"

namespace gyrator {

namespace {

// Tensors of published files that say nothing which the config does not say.
bool IsIgnored(std::string_view name, const ModelConfig& config) {
  return name == "rope_freqs.weight" || name.ends_with(".rotary_emb.inv_freq") ||
         (config.tied_head && name == "lm_head.weight");  // equal to the embedding (loader.cc)
}

// Behind a refusal of an element type: what is read, and how a file of the model gets there.
std::string DTypeAdvice(SourceFormat format) {
  if (format == SourceFormat::kHuggingFace) {
    return "; expected F32, F16 or BF16: save the model in one of them";
  }
  return "; expected f32, f16, bf16 or q8_0: take such a file of the model, or make one "
         "(llama-quantize --allow-requantize IN.gguf OUT.gguf Q8_0)";
}

// One load: resolves names, checks, converts.
class Loader {
 public:
  Loader(const ModelConfig& config, const WeightSource& source, const WeightOptions& options)
      : config_(config), source_(source), options_(options), family_(FamilyOf(config)) {}

  Result<Weights> Run() {
    GYRATOR_RETURN_IF_ERROR(CheckNames());
    weights_.compute = options_.compute;
    weights_.layers.resize(static_cast<size_t>(config_.num_layers));
    weights_.owners = source_.tensors->owners();
    GYRATOR_RETURN_IF_ERROR(AllocateOperands());
    const auto load = [&](const TensorSpec& spec, int32_t layer) { return LoadOne(spec, layer); };
    GYRATOR_RETURN_IF_ERROR(ForEachTensor(load));
    if (config_.tied_head) GYRATOR_RETURN_IF_ERROR(TieHead());
    return std::move(weights_);
  }

 private:
  // Every expected tensor is there as the table says, and no other is.
  Status CheckNames();
  Status CheckOne(const TensorSpec& spec, const std::string& name) const;
  Status LoadOne(const TensorSpec& spec, int32_t layer);
  Status TieHead();

  // body(spec, layer) for every tensor of the table; layer 0 for those of the model.
  template <class Body>
  Status ForEachTensor(const Body& body) const {
    for (const TensorSpec& spec : family_.tensors()) {
      if (!spec.exists(config_)) continue;
      const int32_t count = spec.per_layer() ? config_.num_layers : 1;
      for (int32_t layer = 0; layer < count; ++layer) GYRATOR_RETURN_IF_ERROR(body(spec, layer));
    }
    return {};
  }

  // Memory for all operands that are packed.
  Status AllocateOperands();
  Status Pack(const std::string& name, const TensorView& view, Matrix* matrix);
  Result<const float*> MakeVector(const std::string& name, const TensorView& view);

  void Advance(const TensorView& view) {
    bytes_done_ += view.bytes.size();
    if (options_.progress) options_.progress("loading weights", bytes_done_, bytes_total_);
  }

  const ModelConfig& config_;
  const WeightSource& source_;
  const WeightOptions& options_;
  const Family& family_;
  Weights weights_;
  uint64_t bytes_done_ = 0;
  uint64_t bytes_total_ = 0;
  std::byte* next_operand_ = nullptr;  // in the memory of all
};

Status Loader::CheckOne(const TensorSpec& spec, const std::string& name) const {
  const Shape shape = TensorShape(spec, config_);
  auto found = source_.tensors->Get(name);
  if (!found.ok()) {
    if (found.status().code() == Code::kUnsupported) {
      return Status::Unsupported(found.status().message() + DTypeAdvice(source_.format));
    }
    if (found.status().code() != Code::kNotFound) return std::move(found).status();
    return Status::Corruption("tensor " + name + ": expected " + ShapeText(shape) +
                              ", found nothing");
  }
  const TensorView& view = *found;
  if (view.shape != shape || view.bytes.size() != TensorBytes(view.dtype, shape)) {
    return Status::Corruption("tensor " + name + ": expected shape " + ShapeText(shape) +
                              ", found " + ShapeText(view.shape));
  }
  if (!IsWeightDType(view.dtype)) {
    return Status::Unsupported("tensor " + name + ": found " + std::string(DTypeName(view.dtype)) +
                               DTypeAdvice(source_.format));
  }
  if (options_.compute == ComputeType::kInt8 && !spec.is_vector() && shape[1] % 32 != 0) {
    return Status::Unsupported("tensor " + name +
                               ": int8 needs rows of a multiple of 32 values, found " +
                               std::to_string(shape[1]) + "; use --compute f32 or bf16");
  }
  return {};
}

Status Loader::CheckNames() {
  std::set<std::string, std::less<>> expected;
  const auto check = [&](const TensorSpec& spec, int32_t layer) {
    const std::string name = TensorName(spec, source_.format, layer);
    expected.insert(name);
    return CheckOne(spec, name);
  };
  GYRATOR_RETURN_IF_ERROR(ForEachTensor(check));
  for (const TensorIndex::Entry& entry : source_.tensors->entries()) {
    if (expected.contains(entry.name)) {
      bytes_total_ += entry.view.bytes.size();
    } else if (!IsIgnored(entry.name, config_)) {
      return Status::Unsupported("tensor " + entry.name.substr(0, 120) + ": a " + config_.family +
                                 " model with this config has no such tensor");
    }
  }
  return {};
}

Matrix StoredMatrix(const TensorView& view) {
  return {view.dtype, view.bytes.data(), view.shape[0], view.shape[1]};
}

Status Loader::AllocateOperands() {
  uint64_t bytes = 0;
  const auto count = [&](const TensorSpec& spec, int32_t layer) -> Status {
    const bool embedding = spec.model_matrix == &Weights::embedding;
    if (spec.is_vector() || (embedding && !config_.tied_head)) return {};
    const std::string name = TensorName(spec, source_.format, layer);
    GYRATOR_ASSIGN_OR_RETURN(const TensorView view, source_.tensors->Get(name));
    if (IsOperand(StoredMatrix(view), options_.compute)) return {};
    const auto one = OperandBytes(options_.compute, view.shape[0], view.shape[1]);
    if (!one) return Status::Corruption("tensor " + name + ": too large");
    bytes += *one;
    return {};
  };
  GYRATOR_RETURN_IF_ERROR(ForEachTensor(count));
  if (bytes == 0) return {};
  GYRATOR_ASSIGN_OR_RETURN(AlignedBuffer memory, AllocateHuge(bytes, "weights"));
  next_operand_ = memory.get();
  weights_.owners.push_back(std::shared_ptr<const void>(
      memory.release(), [](const void* freed) { std::free(const_cast<void*>(freed)); }));
  return {};
}

Status Loader::Pack(const std::string& name, const TensorView& view, Matrix* matrix) {
  if (matrix->stored == DType::kQ8_0 && !ScalesAreFinite(view, options_.threads)) {
    return Status::Corruption("tensor " + name + ": expected finite scales, found others");
  }
  if (IsOperand(*matrix, options_.compute)) {
    matrix->operand = matrix->bytes;
    return {};
  }
  if (!PackMatrix(*matrix, options_.compute, next_operand_, options_.threads)) {
    return Status::Corruption("tensor " + name +
                              ": expected finite values within the range of int8 groups, found "
                              "others; use --compute f32 or bf16");
  }
  matrix->operand = next_operand_;
  next_operand_ += *OperandBytes(options_.compute, matrix->rows, matrix->cols);
  source_.tensors->Release(view.bytes);
  return {};
}

Result<const float*> Loader::MakeVector(const std::string& name, const TensorView& view) {
  const auto* stored = reinterpret_cast<const float*>(view.bytes.data());
  if (view.dtype == DType::kF32 && reinterpret_cast<uintptr_t>(stored) % alignof(float) == 0) {
    return stored;
  }
  const auto count = static_cast<uint64_t>(view.shape[0]);
  GYRATOR_ASSIGN_OR_RETURN(AlignedBuffer buffer,
                           AllocateAligned(count * sizeof(float), "tensor " + name));
  auto* data = reinterpret_cast<float*>(buffer.get());
  Widen(view.dtype, view.bytes.data(), 0, view.shape[0], data);
  weights_.owners.push_back(std::shared_ptr<const void>(
      buffer.release(), [](const void* memory) { std::free(const_cast<void*>(memory)); }));
  return data;
}

Status Loader::LoadOne(const TensorSpec& spec, int32_t layer) {
  const std::string name = TensorName(spec, source_.format, layer);
  GYRATOR_ASSIGN_OR_RETURN(const TensorView view, source_.tensors->Get(name));
  LayerWeights& target = weights_.layers[static_cast<size_t>(layer)];
  if (spec.is_vector()) {
    GYRATOR_ASSIGN_OR_RETURN(const float* vector, MakeVector(name, view));
    (spec.per_layer() ? target.*spec.layer_vector : weights_.*spec.model_vector) = vector;
  } else {
    Matrix& matrix = spec.per_layer() ? target.*spec.layer_matrix : weights_.*spec.model_matrix;
    matrix = StoredMatrix(view);
    const bool embedding = spec.model_matrix == &Weights::embedding;
    if (!embedding) GYRATOR_RETURN_IF_ERROR(Pack(name, view, &matrix));
  }
  Advance(view);
  return {};
}

Status Loader::TieHead() {
  for (const TensorSpec& spec : family_.tensors()) {
    if (spec.model_matrix != &Weights::embedding) continue;
    const std::string name = TensorName(spec, source_.format, 0);
    GYRATOR_ASSIGN_OR_RETURN(const TensorView view, source_.tensors->Get(name));
    weights_.head = weights_.embedding;
    GYRATOR_RETURN_IF_ERROR(Pack(name, view, &weights_.head));
  }
  return {};
}

}  // namespace

Result<Weights> LoadWeights(const ModelConfig& config, const WeightSource& source,
                            const WeightOptions& options) {
  return Loader(config, source, options).Run();
}

void WidenRow(const Matrix& matrix, int64_t row, float* out) {
  Widen(matrix.stored, matrix.bytes, row * matrix.cols, matrix.cols, out);
}

}  // namespace gyrator

#include "model/weights.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/aligned_buffer.h"
#include "model/convert.h"
#include "model/family.h"

namespace gyrator {

namespace {

size_t AlignmentOf(DType dtype) {
  return dtype == DType::kF32 ? alignof(float) : alignof(uint16_t);
}

bool IsAligned(const TensorView& view) {
  return reinterpret_cast<uintptr_t>(view.bytes.data()) % AlignmentOf(view.dtype) == 0;
}

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
  std::string read;
  for (const WeightFormat& known : AllFormats()) {
    if (known.is_weight()) read += (read.empty() ? "" : ", ") + std::string(known.name);
  }
  return "; expected one of " + read +
         ": take such a file of the model, or make one "
         "(llama-quantize --allow-requantize IN.gguf OUT.gguf Q8_0)";
}

// One load: resolves names, checks, converts.
class Loader {
 public:
  Loader(const ModelConfig& config, const WeightSource& source, const WeightOptions& options)
      : config_(config), source_(source), options_(options), family_(FamilyOf(config)) {}

  Result<Weights> Run() {
    GYRATOR_RETURN_IF_ERROR(CheckNames());
    weights_.layers.resize(static_cast<size_t>(config_.num_layers));
    weights_.owners = source_.tensors->owners();
    for (const TensorSpec& spec : family_.tensors()) {
      if (!spec.exists(config_)) continue;
      const int32_t count = spec.per_layer() ? config_.num_layers : 1;
      for (int32_t layer = 0; layer < count; ++layer) {
        GYRATOR_RETURN_IF_ERROR(LoadOne(spec, layer));
      }
    }
    if (config_.tied_head) GYRATOR_RETURN_IF_ERROR(TieHead());
    return std::move(weights_);
  }

 private:
  // Every expected tensor is there as the table says, and no other is.
  Status CheckNames();
  Status CheckOne(const TensorSpec& spec, const std::string& name) const;
  Status LoadOne(const TensorSpec& spec, int32_t layer);
  Status TieHead();

  // The tensor as a matrix in the operand format.
  Result<Matrix> MakeOperand(const std::string& name, const TensorView& view);
  Result<const float*> MakeVector(const std::string& name, const TensorView& view);
  Result<std::byte*> MakeConverted(const std::string& name, const Conversion& conversion);
  Result<const std::byte*> InPlace(const std::string& name, const TensorView& view);

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
  if (!FormatOf(view.dtype).is_weight()) {
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
  for (const TensorSpec& spec : family_.tensors()) {
    if (!spec.exists(config_)) continue;
    const int32_t count = spec.per_layer() ? config_.num_layers : 1;
    for (int32_t layer = 0; layer < count; ++layer) {
      std::string name = TensorName(spec, source_.format, layer);
      GYRATOR_RETURN_IF_ERROR(CheckOne(spec, name));
      expected.insert(std::move(name));
    }
  }
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

Result<std::byte*> Loader::MakeConverted(const std::string& name, const Conversion& conversion) {
  const auto bytes = TensorBytes(conversion.to, conversion.from.shape);
  if (!bytes) return Status::Corruption("tensor " + name + ": too large");
  GYRATOR_ASSIGN_OR_RETURN(AlignedBuffer buffer, AllocateAligned(*bytes, "tensor " + name));
  const ConversionFault fault = ConvertAll(conversion, buffer.get(), options_.threads);
  GYRATOR_RETURN_IF_ERROR(FaultStatus(fault, name, conversion.from.dtype));
  std::byte* data = buffer.get();
  weights_.owners.push_back(std::shared_ptr<const void>(
      buffer.release(), [](const void* memory) { std::free(const_cast<void*>(memory)); }));
  return data;
}

// The bytes of a tensor that is used where it lies.
Result<const std::byte*> Loader::InPlace(const std::string& name, const TensorView& view) {
  if (!ScalesAreFinite(view, options_.threads)) {
    return FaultStatus(ConversionFault::kScale, name, view.dtype);
  }
  return view.bytes.data();
}

Result<Matrix> Loader::MakeOperand(const std::string& name, const TensorView& view) {
  Matrix matrix;
  matrix.dtype = OperandDType(options_.compute);
  matrix.rows = view.shape[0];
  matrix.cols = view.shape[1];
  if (view.dtype == matrix.dtype && IsAligned(view)) {
    GYRATOR_ASSIGN_OR_RETURN(matrix.data, InPlace(name, view));
    return matrix;
  }
  const Conversion conversion = PlanConversion(view, matrix.dtype, options_.threads);
  weights_.requantized = weights_.requantized || conversion.requantizes();
  GYRATOR_ASSIGN_OR_RETURN(matrix.data, MakeConverted(name, conversion));
  return matrix;
}

Result<const float*> Loader::MakeVector(const std::string& name, const TensorView& view) {
  if (view.dtype == DType::kF32 && IsAligned(view)) {
    return reinterpret_cast<const float*>(view.bytes.data());
  }
  GYRATOR_ASSIGN_OR_RETURN(
      std::byte * data, MakeConverted(name, PlanConversion(view, DType::kF32, options_.threads)));
  return reinterpret_cast<const float*>(data);
}

Status Loader::LoadOne(const TensorSpec& spec, int32_t layer) {
  const std::string name = TensorName(spec, source_.format, layer);
  GYRATOR_ASSIGN_OR_RETURN(const TensorView view, source_.tensors->Get(name));
  LayerWeights& target = weights_.layers[static_cast<size_t>(layer)];
  if (spec.is_vector()) {
    GYRATOR_ASSIGN_OR_RETURN(const float* vector, MakeVector(name, view));
    (spec.per_layer() ? target.*spec.layer_vector : weights_.*spec.model_vector) = vector;
  } else if (spec.model_matrix == &Weights::embedding) {
    // TieHead reads all of a tied one anyway, and checks it so.
    if (!config_.tied_head) GYRATOR_RETURN_IF_ERROR(InPlace(name, view).status());
    weights_.embedding = {view.bytes.data(), view.dtype, view.shape[0], view.shape[1]};
  } else {
    GYRATOR_ASSIGN_OR_RETURN(const Matrix matrix, MakeOperand(name, view));
    (spec.per_layer() ? target.*spec.layer_matrix : weights_.*spec.model_matrix) = matrix;
  }
  Advance(view);
  return {};
}

Status Loader::TieHead() {
  for (const TensorSpec& spec : family_.tensors()) {
    if (spec.model_matrix != &Weights::embedding) continue;
    const std::string name = TensorName(spec, source_.format, 0);
    GYRATOR_ASSIGN_OR_RETURN(const TensorView view, source_.tensors->Get(name));
    GYRATOR_ASSIGN_OR_RETURN(weights_.head, MakeOperand(name, view));
  }
  return {};
}

}  // namespace

Result<Weights> LoadWeights(const ModelConfig& config, const WeightSource& source,
                            const WeightOptions& options) {
  return Loader(config, source, options).Run();
}

uint64_t OperandBytes(const Weights& weights) {
  const auto bytes = [](const Matrix& matrix) {
    return TensorBytes(matrix.dtype, {matrix.rows, matrix.cols}).value_or(0);
  };
  uint64_t total = bytes(weights.head);
  for (const LayerWeights& layer : weights.layers) {
    for (const Matrix* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      total += bytes(*matrix);
    }
  }
  return total;
}

void WidenRow(const Matrix& embedding, int64_t row, float* out) {
  Widen(embedding.dtype, static_cast<const std::byte*>(embedding.data), row * embedding.cols,
        embedding.cols, out);
}

}  // namespace gyrator

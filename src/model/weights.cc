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

std::string MebibytesText(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

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
    weights_.compute = options_.compute;
    weights_.layers.resize(static_cast<size_t>(config_.num_layers));
    weights_.owners = source_.tensors->owners();
    GYRATOR_RETURN_IF_ERROR(AllocateOperands());
    const auto load = [&](const TensorSpec& spec, int32_t layer) { return LoadOne(spec, layer); };
    GYRATOR_RETURN_IF_ERROR(ForEachTensor(load));
    return std::move(weights_);
  }

 private:
  // Every expected tensor is there as the table says, and no other is.
  Status CheckNames();
  Status CheckOne(const TensorSpec& spec, const std::string& name) const;
  Status LoadOne(const TensorSpec& spec, int32_t layer);
  Status SetEmbedding(const std::string& name, const TensorView& view);

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

  // Keeps the memory as long as the weights live.
  std::byte* Own(AlignedBuffer memory);
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

std::byte* Loader::Own(AlignedBuffer memory) {
  std::byte* const bytes = memory.release();
  weights_.owners.push_back(std::shared_ptr<const void>(
      bytes, [](const void* freed) { std::free(const_cast<void*>(freed)); }));
  return bytes;
}

Status Loader::AllocateOperands() {
  uint64_t bytes = 0;
  const auto count = [&](const TensorSpec& spec, int32_t layer) -> Status {
    const bool embedding = spec.model_matrix == &Weights::embedding;
    if (spec.is_vector() || (embedding && !config_.tied_head)) return {};
    const std::string name = TensorName(spec, source_.format, layer);
    GYRATOR_ASSIGN_OR_RETURN(const TensorView view, source_.tensors->Get(name));
    if (!options_.repack || IsOperand(view, options_.compute)) return {};
    const auto one = OperandBytes(options_.compute, view.shape[0], view.shape[1]);
    if (!one) return Status::Corruption("tensor " + name + ": too large");
    bytes += *one;
    return {};
  };
  GYRATOR_RETURN_IF_ERROR(ForEachTensor(count));
  if (bytes == 0) return {};
  if (bytes > options_.memory_room) {
    return Status::Exhausted("weights: " + MebibytesText(bytes) + " are needed in memory, " +
                             MebibytesText(options_.memory_room) +
                             " are left; use --compute int8, --no-repack (slow) or a smaller "
                             "model, or end what else runs")
        .Named("memory");
  }
  GYRATOR_ASSIGN_OR_RETURN(AlignedBuffer memory, AllocateHuge(bytes, "weights"));
  next_operand_ = Own(std::move(memory));
  return {};
}

Status Loader::Pack(const std::string& name, const TensorView& view, Matrix* matrix) {
  *matrix = {.source = PlanConversion(view, OperandDType(options_.compute), options_.threads),
             .rows = view.shape[0],
             .cols = view.shape[1]};
  if (IsOperand(view, options_.compute)) {
    matrix->operand = view.bytes.data();
    return {};
  }
  weights_.requantized = weights_.requantized || matrix->source.requantizes();
  const ConversionFault fault = options_.repack
                                    ? PackMatrix(*matrix, next_operand_, options_.threads)
                                    : TryPackMatrix(*matrix, options_.threads);
  GYRATOR_RETURN_IF_ERROR(FaultStatus(fault, name, view.dtype));
  source_.tensors->Release(view.bytes);
  if (!options_.repack) return {};
  matrix->operand = next_operand_;
  next_operand_ += *OperandBytes(options_.compute, matrix->rows, matrix->cols);
  return {};
}

Result<const float*> Loader::MakeVector(const std::string& name, const TensorView& view) {
  const auto* stored = reinterpret_cast<const float*>(view.bytes.data());
  if (view.dtype == DType::kF32 && reinterpret_cast<uintptr_t>(stored) % alignof(float) == 0) {
    return stored;
  }
  GYRATOR_ASSIGN_OR_RETURN(
      AlignedBuffer buffer,
      AllocateAligned(static_cast<uint64_t>(view.shape[0]) * sizeof(float), "tensor " + name));
  const Conversion conversion = PlanConversion(view, DType::kF32, options_.threads);
  const ConversionFault fault = ConvertAll(conversion, buffer.get(), options_.threads);
  GYRATOR_RETURN_IF_ERROR(FaultStatus(fault, name, view.dtype));
  return reinterpret_cast<const float*>(Own(std::move(buffer)));
}

Status Loader::LoadOne(const TensorSpec& spec, int32_t layer) {
  const std::string name = TensorName(spec, source_.format, layer);
  GYRATOR_ASSIGN_OR_RETURN(const TensorView view, source_.tensors->Get(name));
  LayerWeights& target = weights_.layers[static_cast<size_t>(layer)];
  if (spec.is_vector()) {
    GYRATOR_ASSIGN_OR_RETURN(const float* vector, MakeVector(name, view));
    (spec.per_layer() ? target.*spec.layer_vector : weights_.*spec.model_vector) = vector;
  } else if (spec.model_matrix == &Weights::embedding) {
    GYRATOR_RETURN_IF_ERROR(SetEmbedding(name, view));
  } else {
    Matrix& matrix = spec.per_layer() ? target.*spec.layer_matrix : weights_.*spec.model_matrix;
    GYRATOR_RETURN_IF_ERROR(Pack(name, view, &matrix));
  }
  Advance(view);
  return {};
}

Status Loader::SetEmbedding(const std::string& name, const TensorView& view) {
  weights_.embedding = {.source = {.from = view}, .rows = view.shape[0], .cols = view.shape[1]};
  if (config_.tied_head) return Pack(name, view, &weights_.head);  // which reads and checks it all
  const bool finite = ScalesAreFinite(view, options_.threads);
  source_.tensors->Release(view.bytes);
  return finite ? Status() : FaultStatus(ConversionFault::kScale, name, view.dtype);
}

}  // namespace

Result<Weights> LoadWeights(const ModelConfig& config, const WeightSource& source,
                            const WeightOptions& options) {
  return Loader(config, source, options).Run();
}

uint64_t OperandBytes(const Weights& weights) {
  const auto bytes = [&](const Matrix& matrix) -> uint64_t {
    if (matrix.operand == nullptr) return matrix.source.from.bytes.size();
    return OperandBytes(weights.compute, matrix.rows, matrix.cols).value_or(0);
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

void WidenRow(const Matrix& matrix, int64_t row, float* out) {
  const TensorView& stored = matrix.source.from;
  Widen(stored.dtype, stored.bytes.data(), row * matrix.cols, matrix.cols, out);
}

}  // namespace gyrator

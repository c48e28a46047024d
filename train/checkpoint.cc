#include "checkpoint.h"

#include <torch/types.h>

#include <cstring>

namespace gyrator::train {
namespace {

Shape ShapeOf(const at::Tensor& tensor) { return {tensor.sizes().begin(), tensor.sizes().end()}; }

ByteSpan BytesOf(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

Status Fill(const TensorIndex& tensors, const std::string& name, at::Tensor& into) {
  GYRATOR_ASSIGN_OR_RETURN(const TensorView view, tensors.Get(name));
  if (view.dtype != DType::kF32 || view.shape != ShapeOf(into)) {
    return Status::Mismatch("checkpoint: " + name + " is " + std::string(DTypeName(view.dtype)) +
                            " " + ShapeText(view.shape) + ", expected f32 " +
                            ShapeText(ShapeOf(into)));
  }
  std::memcpy(into.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
  return {};
}

}  // namespace

Moments ZeroMoments(const Decoder& decoder) {
  Moments moments;
  for (const auto& [name, weight] : decoder.parameters()) {
    moments.first.push_back(torch::zeros(weight.sizes()));
    moments.second.push_back(torch::zeros(weight.sizes()));
  }
  return moments;
}

Status SaveCheckpoint(const std::string& path, const Decoder& decoder, const Moments& moments,
                      const Progress& progress) {
  SafetensorsWriter writer;
  DescribeCheckpoint(decoder.config(), progress, writer);
  for (size_t i = 0; i < decoder.parameters().size(); ++i) {
    const auto& [name, weight] = decoder.parameters()[i];
    const Shape shape = ShapeOf(weight);
    writer.AddTensor(name, DType::kF32, shape, BytesOf(weight));
    writer.AddTensor("adamw.first." + name, DType::kF32, shape, BytesOf(moments.first[i]));
    writer.AddTensor("adamw.second." + name, DType::kF32, shape, BytesOf(moments.second[i]));
  }
  return writer.WriteFile(path);
}

Status LoadWeights(const CheckpointFile& file, Decoder& decoder) {
  for (auto& [name, weight] : decoder.parameters())
    GYRATOR_RETURN_IF_ERROR(Fill(file.tensors, name, weight));
  return {};
}

Result<std::unique_ptr<Decoder>> LoadDecoder(const CheckpointFile& file) {
  auto decoder = std::make_unique<Decoder>(file.config, file.progress.seed);
  GYRATOR_RETURN_IF_ERROR(LoadWeights(file, *decoder));
  return decoder;
}

Status LoadMoments(const CheckpointFile& file, const Decoder& decoder, Moments& moments) {
  for (size_t i = 0; i < decoder.parameters().size(); ++i) {
    const std::string& name = decoder.parameters()[i].first;
    GYRATOR_RETURN_IF_ERROR(Fill(file.tensors, "adamw.first." + name, moments.first[i]));
    GYRATOR_RETURN_IF_ERROR(Fill(file.tensors, "adamw.second." + name, moments.second[i]));
  }
  return {};
}

}  // namespace gyrator::train

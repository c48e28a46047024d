#include "formats/gguf_writer.h"

#include <cstring>
#include <utility>

#include "formats/ggml_types.h"
#include "formats/gguf.h"

namespace gyrator {

namespace {

constexpr uint64_t kAlignment = 32;
constexpr uint32_t kVersion = 3;
constexpr size_t kKeyBytesMax = 65535;
constexpr size_t kTensorNameBytesMax = 64;
constexpr size_t kDimsMax = 4;

template <class T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void Append(std::string* out, std::string_view text) {
  Append<uint64_t>(out, text.size());
  out->append(text);
}

void Append(std::string* out, const std::string& text) { Append(out, std::string_view(text)); }

template <class T>
constexpr GgufType TypeOf() {
  if constexpr (std::is_same_v<T, uint8_t>) return GgufType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return GgufType::kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return GgufType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return GgufType::kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return GgufType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return GgufType::kI32;
  if constexpr (std::is_same_v<T, uint64_t>) return GgufType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return GgufType::kI64;
  if constexpr (std::is_same_v<T, float>) return GgufType::kF32;
  if constexpr (std::is_same_v<T, double>) return GgufType::kF64;
  if constexpr (std::is_same_v<T, bool>) return GgufType::kBool;
  return GgufType::kString;
}

uint64_t PaddingAfter(uint64_t bytes) { return (kAlignment - bytes % kAlignment) % kAlignment; }

Status WritePadding(uint64_t bytes, const ByteSink& sink) {
  static constexpr std::byte kZeros[kAlignment] = {};
  const uint64_t padding = PaddingAfter(bytes);
  return padding == 0 ? Status() : sink(ByteSpan(kZeros, padding));
}

}  // namespace

void GgufWriter::Refuse(std::string message) {
  if (status_.ok()) status_ = Status::InvalidArgument("gguf: " + std::move(message));
}

void GgufWriter::AddKey(std::string_view key, uint32_t type) {
  if (key.empty() || key.size() > kKeyBytesMax) {
    Refuse("metadata key of " + std::to_string(key.size()) + " bytes");
  }
  if (key == "general.alignment") Refuse("general.alignment is fixed");
  if (!keys_.emplace(key).second) Refuse("metadata '" + std::string(key) + "': set twice");
  Append(&metadata_, key);
  Append(&metadata_, type);
}

template <class T>
void GgufWriter::Set(std::string_view key, std::type_identity_t<T> value) {
  AddKey(key, static_cast<uint32_t>(TypeOf<T>()));
  Append(&metadata_, value);
}

template <class T>
void GgufWriter::SetArray(std::string_view key, std::span<const T> values) {
  AddKey(key, static_cast<uint32_t>(GgufType::kArray));
  Append(&metadata_, static_cast<uint32_t>(TypeOf<T>()));
  Append<uint64_t>(&metadata_, values.size());
  for (const T& value : values) Append(&metadata_, value);
}

void GgufWriter::AddTensor(std::string_view name, DType dtype, const Shape& shape,
                           TensorSource source) {
  const std::string quoted = "tensor '" + std::string(name) + "'";
  const std::optional<uint32_t> type = GgmlTypeId(dtype);
  const auto bytes = TensorBytes(dtype, shape);
  if (name.empty() || name.size() > kTensorNameBytesMax) {
    return Refuse(quoted + ": name of " + std::to_string(name.size()) + " bytes, expected 1 to " +
                  std::to_string(kTensorNameBytesMax));
  }
  if (!type) return Refuse(quoted + ": no type for " + std::string(DTypeName(dtype)));
  if (!bytes || shape.size() > kDimsMax) {
    return Refuse(quoted + ": shape " + ShapeText(shape) + " of " + std::string(DTypeName(dtype)));
  }
  if (!names_.emplace(name).second) return Refuse(quoted + ": added twice");
  Append(&tensor_infos_, name);
  Append(&tensor_infos_, static_cast<uint32_t>(shape.size()));
  for (size_t i = shape.size(); i > 0; --i) {
    Append(&tensor_infos_, static_cast<uint64_t>(shape[i - 1]));
  }
  Append(&tensor_infos_, *type);
  Append(&tensor_infos_, data_bytes_);
  data_bytes_ += *bytes + PaddingAfter(*bytes);
  tensors_.push_back({std::string(name), *bytes, std::move(source)});
}

void GgufWriter::AddTensor(std::string_view name, DType dtype, const Shape& shape, ByteSpan bytes) {
  AddTensor(name, dtype, shape, [bytes](const ByteSink& sink) { return sink(bytes); });
}

Status GgufWriter::Write(const ByteSink& sink) const {
  GYRATOR_RETURN_IF_ERROR(status_);
  std::string head = "GGUF";
  Append(&head, kVersion);
  Append<uint64_t>(&head, tensors_.size());
  Append<uint64_t>(&head, keys_.size());
  head += metadata_;
  head += tensor_infos_;
  GYRATOR_RETURN_IF_ERROR(sink(AsBytes(head)));
  GYRATOR_RETURN_IF_ERROR(WritePadding(head.size(), sink));
  for (const Tensor& tensor : tensors_) {
    GYRATOR_RETURN_IF_ERROR(
        WriteTensor(tensor.name, tensor.bytes, tensor.source, sink).Annotate("gguf"));
    GYRATOR_RETURN_IF_ERROR(WritePadding(tensor.bytes, sink));
  }
  return {};
}

Status GgufWriter::WriteFile(const std::string& path) const {
  return WriteWholeFile(path, [this](const ByteSink& sink) { return Write(sink); });
}

template void GgufWriter::Set<uint8_t>(std::string_view, uint8_t);
template void GgufWriter::Set<int8_t>(std::string_view, int8_t);
template void GgufWriter::Set<uint16_t>(std::string_view, uint16_t);
template void GgufWriter::Set<int16_t>(std::string_view, int16_t);
template void GgufWriter::Set<uint32_t>(std::string_view, uint32_t);
template void GgufWriter::Set<int32_t>(std::string_view, int32_t);
template void GgufWriter::Set<uint64_t>(std::string_view, uint64_t);
template void GgufWriter::Set<int64_t>(std::string_view, int64_t);
template void GgufWriter::Set<float>(std::string_view, float);
template void GgufWriter::Set<double>(std::string_view, double);
template void GgufWriter::Set<bool>(std::string_view, bool);
template void GgufWriter::Set<std::string_view>(std::string_view, std::string_view);
template void GgufWriter::SetArray(std::string_view, std::span<const uint8_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const int8_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const uint16_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const int16_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const uint32_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const int32_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const uint64_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const int64_t>);
template void GgufWriter::SetArray(std::string_view, std::span<const float>);
template void GgufWriter::SetArray(std::string_view, std::span<const double>);
template void GgufWriter::SetArray(std::string_view, std::span<const std::string>);
template void GgufWriter::SetArray(std::string_view, std::span<const std::string_view>);

}  // namespace gyrator

// What the tests and the fuzz targets of this folder share: use everything that a parser gives.
#pragma once

#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"
#include "tensor/dtype.h"

namespace gyrator {

// Reads every byte of `bytes`, so that a sanitizer sees a view that points elsewhere.
inline uint64_t SumOf(ByteSpan bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), uint64_t{0}, [](uint64_t sum, std::byte b) {
    return sum + std::to_integer<uint64_t>(b);
  });
}

// Uses every tensor; checks that no view is larger than its shape says. Returns whether all are
// usable.
inline bool WalkTensors(const TensorIndex& index) {
  bool all_usable = true;
  for (const TensorIndex::Entry& entry : index.entries()) {
    const auto view = index.Get(entry.name);
    all_usable = all_usable && view.ok();
    if (!view.ok()) continue;
    GYRATOR_CHECK(TensorBytes(view->dtype, view->shape) == view->bytes.size());
    GYRATOR_CHECK(SumOf(view->bytes) <= 255 * view->bytes.size());
  }
  return all_usable;
}

// Asks for every value as every type.
inline void WalkValues(const GgufFile& file) {
  for (std::string_view key : file.keys()) {
    GYRATOR_CHECK(SumOf(file.Find(key)->bytes) <= 255 * file.Find(key)->bytes.size());
    const bool any = file.Get<int32_t>(key).ok() || file.Get<uint64_t>(key).ok() ||
                     file.Get<float>(key).ok() || file.Get<bool>(key).ok() ||
                     file.Get<std::string_view>(key).ok() || file.GetArray<int64_t>(key).ok() ||
                     file.GetArray<uint32_t>(key).ok() || file.GetArray<double>(key).ok() ||
                     file.GetArray<std::string_view>(key).ok();
    GYRATOR_CHECK(any || file.Find(key)->type == GgufType::kArray ||
                  file.Find(key)->type == GgufType::kI64);
  }
}

template <class T>
void CopyScalar(const GgufFile& file, std::string_view key, GgufWriter* writer) {
  T value;
  std::memcpy(&value, file.Find(key)->bytes.data(), sizeof(T));
  writer->Set<T>(key, value);
}

template <class T>
void CopyArray(const GgufFile& file, std::string_view key, GgufWriter* writer) {
  const GgufValue& value = *file.Find(key);
  std::vector<T> elements(value.count);
  if (!elements.empty()) std::memcpy(elements.data(), value.bytes.data(), value.bytes.size());
  writer->SetArray<T>(key, elements);
}

// Declares a value of `file` to `writer`. Returns false for what the writer does not take (arrays
// of bools and of arrays).
inline bool CopyValue(const GgufFile& file, std::string_view key, GgufWriter* writer) {
  const GgufValue& value = *file.Find(key);
  const bool array = value.type == GgufType::kArray;
  const auto copy = [&]<class T>(T) {
    array ? CopyArray<T>(file, key, writer) : CopyScalar<T>(file, key, writer);
    return true;
  };
  switch (array ? value.element : value.type) {
    case GgufType::kU8:
      return copy(uint8_t{});
    case GgufType::kI8:
      return copy(int8_t{});
    case GgufType::kU16:
      return copy(uint16_t{});
    case GgufType::kI16:
      return copy(int16_t{});
    case GgufType::kU32:
      return copy(uint32_t{});
    case GgufType::kI32:
      return copy(int32_t{});
    case GgufType::kU64:
      return copy(uint64_t{});
    case GgufType::kI64:
      return copy(int64_t{});
    case GgufType::kF32:
      return copy(float{});
    case GgufType::kF64:
      return copy(double{});
    case GgufType::kBool:
      if (!array) writer->Set<bool>(key, *file.Get<bool>(key));
      return !array;
    case GgufType::kString:
      if (array) writer->SetArray<std::string_view>(key, *file.GetArray<std::string_view>(key));
      if (!array) writer->Set<std::string_view>(key, *file.Get<std::string_view>(key));
      return true;
    case GgufType::kArray:
      return false;
  }
  return false;
}

// Declares every usable tensor of `index` to `writer` (GgufWriter, SafetensorsWriter).
template <class Writer>
void CopyTensors(const TensorIndex& index, Writer* writer) {
  for (const TensorIndex::Entry& entry : index.entries()) {
    if (!entry.foreign_type.empty()) continue;
    writer->AddTensor(entry.name, entry.view.dtype, entry.view.shape, entry.view.bytes);
  }
}

// What `writer` writes; its Status into `status`.
template <class Writer>
std::string WrittenBy(const Writer& writer, Status* status) {
  std::string out;
  *status = writer.Write([&out](ByteSpan bytes) {
    out += AsText(bytes);
    return Status();
  });
  return out;
}

}  // namespace gyrator

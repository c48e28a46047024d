#include "snapshot/kv_convert.h"

#include <cstring>

#include "kernels/ops.h"
#include "tensor/dtype.h"

namespace gyrator {

namespace {

template <class T>
T ElementAt(ByteSpan bytes, size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void Append(T value, std::vector<std::byte>* out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out->insert(out->end(), bytes, bytes + sizeof(T));
}

}  // namespace

std::vector<float> WidenKvRow(DType from, ByteSpan elements, ByteSpan scales) {
  std::vector<float> values(elements.size() / LayoutOf(from).bytes);
  for (size_t i = 0; i < values.size(); ++i) {
    switch (from) {
      case DType::kF16:
        values[i] = F16ToF32(ElementAt<uint16_t>(elements, i));
        break;
      case DType::kBF16:
        values[i] = BF16ToF32(ElementAt<uint16_t>(elements, i));
        break;
      case DType::kI8:
        values[i] = BF16ToF32(F32ToBF16(ElementAt<float>(scales, i / kKvGroup) *
                                        static_cast<float>(ElementAt<int8_t>(elements, i))));
        break;
      default:
        values[i] = ElementAt<float>(elements, i);
        break;
    }
  }
  return values;
}

std::optional<KvRow> NarrowKvRow(DType to, const std::vector<float>& values) {
  KvRow row;
  if (to == DType::kI8) {
    std::vector<int8_t> q(values.size());
    std::vector<float> scales(values.size() / kKvGroup);
    const auto count = static_cast<int64_t>(values.size());
    if (!FindOps("ref")->quantize(values.data(), {q.data(), scales.data()}, count)) {
      return std::nullopt;
    }
    for (const int8_t element : q) Append(element, &row.elements);
    for (const float scale : scales) Append(scale, &row.scales);
    return row;
  }
  for (const float value : values) {
    if (to == DType::kF32) Append(value, &row.elements);
    if (to == DType::kF16) Append(F32ToF16(value), &row.elements);
    if (to == DType::kBF16) Append(F32ToBF16(value), &row.elements);
  }
  return row;
}

}  // namespace gyrator

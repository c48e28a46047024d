#include "tensor/tensor_view.h"

#include "tensor/dtype.h"

namespace gyrator {

std::optional<int64_t> NumElements(const Shape& shape) {
  int64_t count = 1;
  for (int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(count, dim, &count)) return std::nullopt;
  }
  return count;
}

std::optional<uint64_t> TensorBytes(DType dtype, const Shape& shape) {
  const auto count = NumElements(shape);
  if (!count) return std::nullopt;
  const BlockLayout layout = LayoutOf(dtype);
  if (layout.elements > 1 && (shape.empty() || shape.back() % layout.elements != 0)) {
    return std::nullopt;
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(*count / layout.elements), layout.bytes,
                             &bytes)) {
    return std::nullopt;
  }
  return bytes;
}

std::string ShapeText(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace gyrator

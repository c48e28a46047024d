#include "formats/ggml_types.h"

#include "tensor/weight_format.h"

namespace gyrator {

namespace {

struct KnownType {
  uint32_t id;
  DType dtype;
};

// Ids: ggml.h, enum ggml_type.
constexpr KnownType kKnownTypes[] = {
    {0, DType::kF32},     {1, DType::kF16},     {2, DType::kQ4_0},  {3, DType::kQ4_1},
    {6, DType::kQ5_0},    {7, DType::kQ5_1},    {8, DType::kQ8_0},  {10, DType::kQ2_K},
    {11, DType::kQ3_K},   {12, DType::kQ4_K},   {13, DType::kQ5_K}, {14, DType::kQ6_K},
    {20, DType::kIQ4_NL}, {23, DType::kIQ4_XS}, {24, DType::kI8},   {25, DType::kI16},
    {26, DType::kI32},    {27, DType::kI64},    {28, DType::kF64},  {30, DType::kBF16},
    {39, DType::kMXFP4},
};

// Types that are named when a tensor of them is refused, and whose size is checked. Sizes:
// ggml-common.h (block structs) and gguf-py constants.py (GGML_QUANT_SIZES).
constexpr GgmlType kForeignTypes[] = {
    {9, "q8_1", 32, 40, {}},     {15, "q8_K", 256, 292, {}},   {16, "iq2_xxs", 256, 66, {}},
    {17, "iq2_xs", 256, 74, {}}, {18, "iq3_xxs", 256, 98, {}}, {19, "iq1_s", 256, 50, {}},
    {21, "iq3_s", 256, 110, {}}, {22, "iq2_s", 256, 82, {}},   {29, "iq1_m", 256, 56, {}},
    {34, "tq1_0", 256, 54, {}},  {35, "tq2_0", 256, 66, {}},   {40, "nvfp4", 64, 36, {}},
    {41, "q1_0", 128, 18, {}},
};

}  // namespace

std::optional<GgmlType> FindGgmlType(uint32_t id) {
  for (const KnownType& type : kKnownTypes) {
    if (type.id != id) continue;
    const WeightFormat& format = FormatOf(type.dtype);
    return GgmlType{id, format.name, format.elements, format.bytes, type.dtype};
  }
  for (const GgmlType& type : kForeignTypes) {
    if (type.id == id) return type;
  }
  return std::nullopt;
}

std::optional<uint32_t> GgmlTypeId(DType dtype) {
  for (const KnownType& type : kKnownTypes) {
    if (type.dtype == dtype) return type.id;
  }
  return std::nullopt;
}

}  // namespace gyrator

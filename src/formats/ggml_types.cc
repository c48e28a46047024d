#include "formats/ggml_types.h"

namespace gyrator {

namespace {

// Sizes: ggml-common.h (block structs) and gguf-py constants.py (GGML_QUANT_SIZES).
constexpr GgmlType kTypes[] = {
    {0, "f32", 1, 4, DType::kF32},     {1, "f16", 1, 2, DType::kF16},
    {2, "q4_0", 32, 18, {}},           {3, "q4_1", 32, 20, {}},
    {6, "q5_0", 32, 22, {}},           {7, "q5_1", 32, 24, {}},
    {8, "q8_0", 32, 34, DType::kQ8_0}, {9, "q8_1", 32, 40, {}},
    {10, "q2_K", 256, 84, {}},         {11, "q3_K", 256, 110, {}},
    {12, "q4_K", 256, 144, {}},        {13, "q5_K", 256, 176, {}},
    {14, "q6_K", 256, 210, {}},        {15, "q8_K", 256, 292, {}},
    {16, "iq2_xxs", 256, 66, {}},      {17, "iq2_xs", 256, 74, {}},
    {18, "iq3_xxs", 256, 98, {}},      {19, "iq1_s", 256, 50, {}},
    {20, "iq4_nl", 32, 18, {}},        {21, "iq3_s", 256, 110, {}},
    {22, "iq2_s", 256, 82, {}},        {23, "iq4_xs", 256, 136, {}},
    {24, "i8", 1, 1, DType::kI8},      {25, "i16", 1, 2, DType::kI16},
    {26, "i32", 1, 4, DType::kI32},    {27, "i64", 1, 8, DType::kI64},
    {28, "f64", 1, 8, DType::kF64},    {29, "iq1_m", 256, 56, {}},
    {30, "bf16", 1, 2, DType::kBF16},  {34, "tq1_0", 256, 54, {}},
    {35, "tq2_0", 256, 66, {}},        {39, "mxfp4", 32, 17, {}},
    {40, "nvfp4", 64, 36, {}},         {41, "q1_0", 128, 18, {}},
};

}  // namespace

const GgmlType* FindGgmlType(uint32_t id) {
  for (const GgmlType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const GgmlType* FindGgmlType(DType dtype) {
  for (const GgmlType& type : kTypes) {
    if (type.dtype == dtype) return &type;
  }
  return nullptr;
}

}  // namespace gyrator

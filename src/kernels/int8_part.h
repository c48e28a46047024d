// What the int8 products of many rows cut their work into.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace gyrator {

// Columns of weights that lie `stride` blocks apart, from the first group of a part on.
struct Int8Weights {
  const BlockQ8_0* at = nullptr;
  int64_t stride = 0;
  int64_t count = 0;
};

// What is multiplied of packed rows, and where y begins: rows `stride` apart.
struct Int8Part {
  int64_t rows;
  int64_t groups;  // of 32 along k
  bool first;      // y is written, not added to
  float* y;
  int64_t stride;
};

}  // namespace gyrator

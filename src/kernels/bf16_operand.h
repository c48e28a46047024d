// The left operand of Ops::matmul_bf16: rows of activations, in the layout that the function reads.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace gyrator {

// Tiles from one row of tiles to the next: an odd multiple of 8, so that the same columns of all
// rows lie evenly over the sets of a cache.
int64_t Bf16RowTileChunks(int64_t k);

// Elements of a buffer for `rows` rows of k, in any layout.
int64_t Bf16OperandElements(int64_t rows, int64_t k);

// Where element (row, column) lies.
int64_t Bf16OperandIndex(Bf16Layout layout, int64_t row, int64_t column, int64_t k);

struct Bf16Columns {
  int64_t row = 0;
  int64_t begin = 0;  // a multiple of 32
  int64_t count = 0;  // a multiple of 32, but for the last columns of the row
  int64_t k = 0;      // of the row
};

// Sets these columns to x [count], rounded by F32ToBF16.
void SetBf16Columns(const Ops& ops, const float* x, const Bf16Columns& columns, uint16_t* operand);

}  // namespace gyrator

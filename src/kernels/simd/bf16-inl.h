// Matrix products in bf16.dp.v1 over tiles of activations (bf16_operand.h) and panels of weights
// (panels.h): lanes run along k, and a line of 32 elements of both is read where it lies.
//
// Every row and column has 16 sums. One row keeps those of kBf16OneRowColumns columns in registers.
// More rows go through register tiles of kBf16Rows x kBf16Columns and blocks of k, between which
// the sums rest in memory.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kBf16BlockRows = 64;    // multiple of 16: their sums stay in the second cache
constexpr int64_t kBf16BlockGroups = 16;  // of k: a panel's part stays in the first cache
constexpr int64_t kSums = 16;             // of a row and column
static_assert(kPanelColumns % kBf16Columns == 0 && kPanelColumns % kBf16OneRowColumns == 0);

using Bf16RowSums = float[kPanelColumns][kSums];

// A part of k of a register tile: the first line of its first row and of its first column.
struct Bf16Tile {
  const uint16_t* x;
  const uint16_t* w;
  int64_t groups;
};

// sums += x times w, for part p of the lanes. sums: of the first row, from the first column on.
template <int kRows, int kColumns>
GYRATOR_SIMD void MultiplyBf16Part(const Bf16Tile& tile, int p, bool first, Bf16RowSums* sums) {
  Vec acc[kRows][kColumns] = {};
  float* const at = &sums[0][0][0] + p * kLanes;
  constexpr int64_t kRowStride = kPanelColumns * kSums;
  for (int i = 0; i < kRows && !first; ++i) {
    for (int j = 0; j < kColumns; ++j) acc[i][j] = Load(at + i * kRowStride + j * kSums);
  }
  for (int64_t g = 0; g < tile.groups; ++g) {
    Bf16Format::Part columns[kColumns];
    for (int j = 0; j < kColumns; ++j) {
      columns[j] = Bf16Format::LoadPart(tile.w + g * kPanelTile + j * kPanelGroup, p);
    }
    for (int i = 0; i < kRows; ++i) {
      const auto row = Bf16Format::LoadPart(tile.x + g * kPanelTile + i * kPanelGroup, p);
      for (int j = 0; j < kColumns; ++j) {
        acc[i][j] = Bf16Format::MultiplyAdd(row, columns[j], acc[i][j]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kColumns; ++j) Store(at + i * kRowStride + j * kSums, acc[i][j]);
  }
}

// kRows rows by all columns of a panel.
template <int kRows, int kColumns>
void MultiplyBf16(const Bf16Tile& tile, bool first, Bf16RowSums* sums) {
  for (int64_t n = 0; n < kPanelColumns; n += kColumns) {
    auto* const from = reinterpret_cast<Bf16RowSums*>(&sums[0][n]);
    for (int p = 0; p < kParts; ++p) {
      MultiplyBf16Part<kRows, kColumns>({tile.x, tile.w + n * kPanelGroup, tile.groups}, p, first,
                                        from);
    }
  }
}

// `rows` <= kRows of them.
template <int kRows>
void MultiplyBf16Rows(int64_t rows, const Bf16Tile& tile, bool first, Bf16RowSums* sums) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return MultiplyBf16Rows<kRows - 1>(rows, tile, first, sums);
  }
  MultiplyBf16<kRows, kRows == 1 ? kBf16OneRowColumns : kBf16Columns>(tile, first, sums);
}

// y of a row: the fold of each column's sums.
GYRATOR_SIMD void FoldRow(const Bf16RowSums& sums, float* y, int64_t columns) {
  alignas(64) float folded[kPanelColumns];
  FoldEight(&sums[0][0], folded);
  FoldEight(&sums[8][0], folded + 8);
  for (int64_t n = 0; n < columns; n += kLanes) StoreFirst(y + n, Load(folded + n), columns - n);
}

// y of up to kBf16BlockRows rows, from the first of a tile on, and one panel.
void MatMulBf16Panel(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  alignas(64) Bf16RowSums sums[kBf16BlockRows];  // not initialised
  const int64_t all = NumPanelGroups(shape.k);
  const bool in_registers = shape.num_rows == 1 && kBf16OneRowColumns == kPanelColumns;
  const int64_t depth = in_registers ? all : kBf16BlockGroups;
  const int64_t x_stride = Bf16RowTileChunks(shape.k) * kPanelTile;
  for (int64_t g = 0; g < all; g += depth) {
    const int64_t groups = all - g < depth ? all - g : depth;
    for (int64_t r = 0; r < shape.num_rows;) {
      const int64_t in_tile = r % kPanelColumns;
      const int64_t left = shape.num_rows - r;
      const int64_t most = kPanelColumns - in_tile < kBf16Rows ? kPanelColumns - in_tile : kBf16Rows;
      const int64_t rows = left < most ? left : most;
      const uint16_t* const from =
          x + r / kPanelColumns * x_stride + g * kPanelTile + in_tile * kPanelGroup;
      MultiplyBf16Rows<kBf16Rows>(rows, {from, w + g * kPanelTile, groups}, g == 0, sums + r);
      r += rows;
    }
  }
  for (int64_t r = 0; r < shape.num_rows; ++r) {
    FoldRow(sums[r], y + r * shape.y_stride, shape.num_columns);
  }
}

void MatMulBf16(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  const int64_t x_stride = Bf16RowTileChunks(shape.k) * kPanelTile;
  MatMulShape part = shape;
  for (int64_t m = 0; m < shape.num_rows; m += kBf16BlockRows) {
    const int64_t rows = shape.num_rows - m;
    part.num_rows = rows < kBf16BlockRows ? rows : kBf16BlockRows;
    for (int64_t n = 0; n < shape.num_columns; n += kPanelColumns) {
      const int64_t columns = shape.num_columns - n;
      part.num_columns = columns < kPanelColumns ? columns : kPanelColumns;
      MatMulBf16Panel(x + m / kPanelColumns * x_stride, w + n * NumPanelGroups(shape.k) * kPanelGroup,
                      y + m * shape.y_stride + n, part);
    }
  }
}

}  // namespace
}  // namespace gyrator

// Matrix products in bf16.dp.v1 over panels of weights (panels.h): lanes run along k, and a line of
// 32 elements of a column is read where it lies. Rows of activations are packed first.
//
// Every row and column has 16 sums. One row keeps those of kBf16OneRowColumns columns in registers.
// More rows go through register tiles of kBf16Rows x kBf16Columns: the rows of a tile stay in the
// first cache over the columns of a panel, and the panel in the second over all rows. Between
// blocks of k the sums rest in memory.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kBf16Packed = 192
                                << 10;    // elements of packed rows: they stay in the second cache
constexpr int64_t kBf16BlockGroups = 64;  // of k
constexpr int64_t kBf16FewGroups = 16;    // of k, where one tile has all rows
constexpr int64_t kBf16RowsMax = 96;      // of a block; multiple of kBf16Rows
constexpr int64_t kSums = 16;             // of a row and column
static_assert(kPanelColumns % kBf16Columns == 0 && kPanelColumns % kBf16OneRowColumns == 0);
static_assert(kBf16RowsMax % kBf16Rows == 0);

using Bf16RowSums = float[kPanelColumns][kSums];

// A part of k of a register tile: its packed rows, its first column, and the weights that are
// prefetched meanwhile: so many lines a group.
struct Bf16Tile {
  const uint16_t* x;
  const uint16_t* w;
  int64_t groups;
  const uint16_t* soon;
  int64_t soon_lines;
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
    for (int64_t i = 0; i < tile.soon_lines; ++i) {
      PrefetchFar(tile.soon + (g * tile.soon_lines + i) * kPanelGroup);
    }
    Bf16Format::Part columns[kColumns];
    for (int j = 0; j < kColumns; ++j) {
      columns[j] = Bf16Format::LoadPart(tile.w + g * kPanelTile + j * kPanelGroup, p);
    }
    for (int i = 0; i < kRows; ++i) {
      const auto row = Bf16Format::LoadPart(tile.x + (g * kRows + i) * kPanelGroup, p);
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
    Bf16Tile part = tile;
    part.w += n * kPanelGroup;
    part.soon += n / kColumns * tile.groups * tile.soon_lines * kPanelGroup;
    for (int p = 0; p < kParts; ++p) {
      MultiplyBf16Part<kRows, kColumns>(part, p, first, from);
      part.soon_lines = 0;
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

// Rows of activations, packed: [row / kBf16Rows][group][rows of the tile][32], +0 behind k. A last
// tile has the rows that are left.
class Bf16Rows {
 public:
  Bf16Rows(const uint16_t* x, int64_t rows, int64_t k) : groups_(NumPanelGroups(k)), rows_(rows) {
    for (int64_t r = 0; r < rows; ++r) {
      const uint16_t* from = x + r * k;
      uint16_t* to = packed_ + TileAt(r) + r % kBf16Rows * kPanelGroup;
      const int64_t stride = RowsOfTile(r) * kPanelGroup;
      for (int64_t at = 0; at < k; at += kPanelGroup, to += stride) {
        if (at + kPanelGroup <= k) {
          std::memcpy(to, from + at, kPanelGroup * sizeof(uint16_t));
          continue;
        }
        for (int64_t i = 0; i < kPanelGroup; ++i) to[i] = at + i < k ? from[at + i] : uint16_t{0};
      }
    }
  }

  int64_t RowsOfTile(int64_t row) const {
    const int64_t left = rows_ - row / kBf16Rows * kBf16Rows;
    return left < kBf16Rows ? left : kBf16Rows;
  }
  // The tile of `row`, from group `group` on.
  const uint16_t* At(int64_t row, int64_t group) const {
    return packed_ + TileAt(row) + group * RowsOfTile(row) * kPanelGroup;
  }

 private:
  int64_t TileAt(int64_t row) const { return row / kBf16Rows * kBf16Rows * groups_ * kPanelGroup; }

  const int64_t groups_;
  const int64_t rows_;
  alignas(64) uint16_t packed_[kBf16Packed];  // not initialised
};

// y of the packed rows and one panel. `next`: whether there is another panel behind it.
void MatMulBf16Panel(const Bf16Rows& x, const uint16_t* w, float* y, const MatMulShape& shape,
                     bool next) {
  alignas(64) Bf16RowSums sums[kBf16RowsMax];  // not initialised
  const int64_t all = NumPanelGroups(shape.k);
  const bool few = shape.num_rows <= kBf16Rows;  // one tile: weights come from memory
  const bool in_registers = shape.num_rows == 1 && kBf16OneRowColumns == kPanelColumns;
  const int64_t depth = in_registers ? all : few ? kBf16FewGroups : kBf16BlockGroups;
  for (int64_t g = 0; g < all; g += depth) {
    const int64_t groups = all - g < depth ? all - g : depth;
    for (int64_t r = 0; r < shape.num_rows; r += kBf16Rows) {
      Bf16Tile tile = {x.At(r, g), w + g * kPanelTile, groups, w + g * kPanelTile, 0};
      // Few rows prefetch the next part of the panel, many a fourth of the next panel with each of
      // four tiles.
      if (few && !in_registers && (next || g + groups < all)) {
        tile.soon += groups * kPanelTile;
        tile.soon_lines = kBf16Columns;
      } else if (!few && next && r / kBf16Rows < kPanelColumns / kBf16Columns) {
        tile.soon += all * kPanelTile + r / kBf16Rows * groups * kBf16Columns * kPanelGroup;
        tile.soon_lines = 1;
      }
      MultiplyBf16Rows<kBf16Rows>(x.RowsOfTile(r), tile, g == 0, sums + r);
    }
  }
  for (int64_t r = 0; r < shape.num_rows; ++r) {
    FoldRow(sums[r], y + r * shape.y_stride, shape.num_columns);
  }
}

void MatMulBf16(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  const int64_t groups = NumPanelGroups(shape.k);
  const int64_t fit = kBf16Packed / (groups * kPanelGroup);  // rows
  if (fit == 0) return RefOps().matmul_bf16(x, w, y, shape);  // 196,608 wide: no model is
  const int64_t whole = fit < kBf16Rows ? fit : fit / kBf16Rows * kBf16Rows;
  const int64_t block = whole < kBf16RowsMax ? whole : kBf16RowsMax;
  MatMulShape part = shape;
  for (int64_t m = 0; m < shape.num_rows; m += block) {
    part.num_rows = shape.num_rows - m < block ? shape.num_rows - m : block;
    const Bf16Rows rows(x + m * shape.k, part.num_rows, shape.k);
    for (int64_t n = 0; n < shape.num_columns; n += kPanelColumns) {
      const int64_t columns = shape.num_columns - n;
      part.num_columns = columns < kPanelColumns ? columns : kPanelColumns;
      MatMulBf16Panel(rows, w + n * groups * kPanelGroup, y + m * shape.y_stride + n, part,
                      columns > kPanelColumns);
    }
  }
}

}  // namespace
}  // namespace gyrator

// matmul_int8 by tiles: the same template over the hardware's (tile_hw.h) and their twin
// (tile_twin.h). The vector layer and standard headers are included before.
//
// TDPBSSD multiplies A [16 rows][32 bytes] by B [8 steps][16 columns][4 bytes]. Activations are A;
// a group of a panel of weights is B as it lies (panels.h). So the lanes of a row of dots are
// columns, which have their scales beside each other, and y is added to where it lies.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kInt8TileRows = 16;
constexpr int64_t kInt8BlockTiles = 8;    // of rows of activations
constexpr int64_t kInt8BlockGroups = 64;  // of 32 along k
constexpr int64_t kInt8Batch = 4;         // groups whose dots are on their way at once

using Int8Dots = int32_t[kInt8TileRows][kPanelColumns];

// `rows` <= 16 rows of activations over the groups of a block, in place if there are 16; a missing
// row is the last one again (its sums are never read).
struct Int8RowTile {
  const int8_t* q;
  int64_t stride;  // bytes between rows
  QuantizedRows x;
  int64_t rows;
  alignas(64) int8_t copy[kInt8TileRows][kInt8BlockGroups * kPanelGroup];

  // x at the first group of the first row; k elements between rows.
  void Set(const QuantizedRows& from, int64_t k, int64_t num_rows, int64_t groups) {
    x = from;
    rows = num_rows;
    q = from.q;
    stride = k;
    if (rows == kInt8TileRows) return;
    for (int64_t r = 0; r < kInt8TileRows; ++r) {
      std::memcpy(copy[r], from.q + (r < rows ? r : rows - 1) * k,
                  static_cast<size_t>(groups * kPanelGroup));
    }
    q = copy[0];
    stride = sizeof(copy[0]);
  }
};

// sums += the dots of group g, scaled.
GYRATOR_SIMD void AddDots(const Int8Dots& dots, const Int8Panels& w, const Int8RowTile& x,
                          int64_t k, int64_t g, Vec (&sums)[kInt8TileRows][kParts]) {
  for (int p = 0; p < kParts; ++p) {
    const Vec w_scale = LoadF16(w.scale + g * kPanelColumns + p * kLanes);
#pragma GCC unroll 16
    for (int64_t r = 0; r < kInt8TileRows; ++r) {
      const int64_t row = r < x.rows ? r : x.rows - 1;
      const Vec scale = Mul(w_scale, Set(x.x.scale[row * (k / kPanelGroup) + g]));
      sums[r][p] = Fma(ToFloat(ILoad(&dots[r][p * kLanes])), scale, sums[r][p]);
    }
  }
}

// The lines of groups g .. g + kInt8Batch - 1.
GYRATOR_SIMD void PrefetchBatch(const Int8Panels& w, int64_t g) {
  constexpr int64_t kCacheLine = 64;
  const int8_t* const q = w.q + g * kPanelTile;
  for (int64_t i = 0; i < kInt8Batch * kPanelTile; i += kCacheLine) Prefetch(q + i);
  Prefetch(w.scale + g * kPanelColumns);
  Prefetch(w.scale + (g + 2) * kPanelColumns);
}

// Where the sums of a tile go: `stride` between rows, `columns` <= 16 of them.
struct Int8Out {
  float* y;
  int64_t stride;
  int64_t columns;
  bool first;  // y is written, not added to
};

// One panel over the groups of a block.
struct Int8Part {
  Int8Panels w;
  int64_t k;
  int64_t groups;
  const Int8Panels* soon;  // what comes next, to be prefetched; may be null
};

// y += x times w. While the dots of a batch are computed, those of the one before are added.
template <class Tiles>
void MultiplyInt8Tile(Tiles& tiles, const Int8RowTile& x, const Int8Part& part,
                      const Int8Out& out) {
  Vec acc[kInt8TileRows][kParts] = {};
  for (int64_t r = 0; r < x.rows && !out.first; ++r) {
    for (int p = 0; p < kParts; ++p) {
      acc[r][p] = LoadFirst(out.y + r * out.stride + p * kLanes, out.columns - p * kLanes);
    }
  }
  alignas(64) Int8Dots dots[2][kInt8Batch];
  const int64_t batched = part.groups / kInt8Batch * kInt8Batch;
  const auto add = [&](int64_t g, int64_t i) GYRATOR_SIMD_LAMBDA {
    AddDots(dots[g / kInt8Batch % 2][i], part.w, x, part.k, g + i, acc);
  };
  for (int64_t g = 0; g < batched; g += kInt8Batch) {
    tiles.template Dot<kInt8Batch>(x.q + g * kPanelGroup, x.stride, part.w.q + g * kPanelTile,
                                   dots[g / kInt8Batch % 2]);
    if (part.soon != nullptr) PrefetchBatch(*part.soon, g);
    for (int64_t i = 0; g > 0 && i < kInt8Batch; ++i) add(g - kInt8Batch, i);
  }
  for (int64_t i = 0; batched > 0 && i < kInt8Batch; ++i) add(batched - kInt8Batch, i);
  for (int64_t g = batched; g < part.groups; ++g) {
    tiles.template Dot<1>(x.q + g * kPanelGroup, x.stride, part.w.q + g * kPanelTile, dots[0]);
    AddDots(dots[0][0], part.w, x, part.k, g, acc);
  }
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int p = 0; p < kParts; ++p) {
      StoreFirst(out.y + r * out.stride + p * kLanes, acc[r][p], out.columns - p * kLanes);
    }
  }
}

struct Int8Block {
  Int8RowTile rows[kInt8BlockTiles];
  int64_t num_rows;
  int64_t group;
  int64_t groups;

  // Rows of x from the first on, over these groups.
  void Set(const QuantizedRows& x, int64_t k) {
    for (int64_t r = 0; r < num_rows; r += kInt8TileRows) {
      rows[r / kInt8TileRows].Set(x.At(r, group, k), k,
                                  num_rows - r < kInt8TileRows ? num_rows - r : kInt8TileRows,
                                  groups);
    }
  }

  template <class Tiles>
  void Multiply(Tiles& tiles, const Int8Panels& w, float* y, const MatMulShape& shape) {
    for (int64_t n = 0; n < shape.num_columns; n += kPanelColumns) {
      const int64_t left = shape.num_columns - n;
      const Int8Panels next = w.At(n / kPanelColumns + 1, group, shape.k);
      Int8Part part = {w.At(n / kPanelColumns, group, shape.k), shape.k, groups,
                       left > kPanelColumns ? &next : nullptr};
      for (int64_t r = 0; r < num_rows; r += kInt8TileRows) {
        MultiplyInt8Tile(tiles, rows[r / kInt8TileRows], part,
                         {y + r * shape.y_stride + n, shape.y_stride,
                          left < kPanelColumns ? left : kPanelColumns, group == 0});
        part.soon = nullptr;
      }
    }
  }
};

template <class Tiles>
void MatMulInt8Tiles(const QuantizedRows& x, const Int8Panels& w, float* y,
                     const MatMulShape& shape) {
  constexpr int64_t kRows = kInt8BlockTiles * kInt8TileRows;
  const int64_t all = shape.k / kPanelGroup;
  Tiles tiles;
  Int8Block block;  // not initialised
  for (int64_t m = 0; m < shape.num_rows; m += kRows) {
    block.num_rows = shape.num_rows - m < kRows ? shape.num_rows - m : kRows;
    for (block.group = 0; block.group < all; block.group += kInt8BlockGroups) {
      const int64_t left = all - block.group;
      block.groups = left < kInt8BlockGroups ? left : kInt8BlockGroups;
      block.Set(x.At(m, 0, shape.k), shape.k);
      block.Multiply(tiles, w, y + m * shape.y_stride, shape);
    }
  }
}

}  // namespace
}  // namespace gyrator

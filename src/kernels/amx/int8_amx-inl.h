// matmul_int8 by tiles: the same template over the hardware's (tile_hw.h) and their twin
// (tile_twin.h). The vector layer and standard headers are included before.
//
// TDPBSSD multiplies A [16 rows][32 bytes] by B [8 steps][16 columns][4 bytes]. Weights are A,
// taken from where they lie; activations are packed to B. So the lanes of a row of dots are rows of
// activations, the scale of its weights is one number, and the sums are those of y transposed.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kInt8Tile = 16;         // rows and columns of a tile
constexpr int64_t kInt8Group = 32;        // of k, and of one scale
constexpr int64_t kInt8BlockTiles = 8;    // of rows of activations
constexpr int64_t kInt8BlockGroups = 64;  // of k; even
constexpr int64_t kInt8Batch = 4;         // groups whose dots are on their way at once

using Int8Dots = int32_t[kInt8Tile][kInt8Tile];  // [column][row of activations]
using Int8Sums = float[kInt8Tile][kInt8Tile];    // likewise

// `rows` <= kInt8Tile rows of activations over the groups of a block; a missing row is the last
// one again (its sums are never read).
struct Int8RowTile {
  alignas(64) uint32_t steps[kInt8BlockGroups][kInt8Group / 4][kInt8Tile];
  alignas(64) float scales[kInt8BlockGroups][kInt8Tile];

  // x at the first group of the first row; k elements between rows.
  template <class Tiles>
  void Pack(const QuantizedRows& x, int64_t k, int64_t rows, int64_t groups) {
    alignas(64) int8_t copy[kInt8Tile][2 * kInt8Group] = {};
    for (int64_t g = 0; g < groups; g += 2) {
      const bool whole = rows == kInt8Tile && g + 2 <= groups;
      const int64_t bytes = (groups - g < 2 ? 1 : 2) * kInt8Group;
      for (int64_t r = 0; !whole && r < kInt8Tile; ++r) {
        std::memcpy(copy[r], x.q + (r < rows ? r : rows - 1) * k + g * kInt8Group,
                    static_cast<size_t>(bytes));
      }
      Tiles::Transpose(whole ? x.q + g * kInt8Group : &copy[0][0], whole ? k : 2 * kInt8Group,
                       steps[g]);
    }
    for (int64_t r = 0; r < kInt8Tile; ++r) {
      const float* from = x.scale + (r < rows ? r : rows - 1) * (k / kInt8Group);
      for (int64_t g = 0; g < groups; ++g) scales[g][r] = from[g];
    }
  }
};

// kInt8Tile columns of weights over the groups of a block, in place if there are so many.
struct Int8ColumnTile {
  const BlockQ8_0* at;
  int64_t stride;
  alignas(64) float scales[kInt8BlockGroups][kInt8Tile];
  BlockQ8_0 copy[kInt8Tile][kInt8BlockGroups];

  // Missing columns are the last one again.
  void Set(const Int8Weights& w, int64_t groups) {
    at = w.at;
    stride = w.stride;
    if (w.count < kInt8Tile) {
      for (int64_t c = 0; c < kInt8Tile; ++c) {
        std::memcpy(copy[c], w.at + (c < w.count ? c : w.count - 1) * w.stride,
                    static_cast<size_t>(groups) * sizeof(BlockQ8_0));
      }
      at = &copy[0][0];
      stride = kInt8BlockGroups;
    }
    alignas(64) uint16_t halves[kInt8BlockGroups][kInt8Tile];
    for (int64_t c = 0; c < kInt8Tile; ++c) {
      for (int64_t g = 0; g < groups; ++g) halves[g][c] = at[c * stride + g].scale;
    }
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t c = 0; c < kInt8Tile; c += kLanes) {
        Store(&scales[g][c], LoadF16(&halves[g][c]));
      }
    }
  }
};

// sums += the dots of group g, scaled.
GYRATOR_SIMD void AddDots(const Int8Dots& dots, const Int8ColumnTile& w, const Int8RowTile& x,
                          int64_t g, Vec (&sums)[kInt8Tile][kParts]) {
  for (int p = 0; p < kParts; ++p) {
    const Vec x_scale = Load(&x.scales[g][p * kLanes]);
#pragma GCC unroll 16
    for (int64_t c = 0; c < kInt8Tile; ++c) {
      const Vec scale = Mul(Set(w.scales[g][c]), x_scale);
      sums[c][p] = Fma(ToFloat(ILoad(&dots[c][p * kLanes])), scale, sums[c][p]);
    }
  }
}

// The lines of groups g .. g + kInt8Batch - 1.
GYRATOR_SIMD void PrefetchBatch(const Int8Weights& w, int64_t g) {
  for (int64_t c = 0; c < w.count; ++c) {
    for (int64_t i = 0; i < kInt8Batch; i += 2) Prefetch(w.at + c * w.stride + g + i);
  }
}

// sums += w times x. While the dots of a batch are computed, those of the one before are added.
template <class Tiles>
void MultiplyTiles(Tiles& tiles, const Int8ColumnTile& w, const Int8RowTile& x, int64_t groups,
                   const Int8Weights& soon, Int8Sums& sums) {
  Vec acc[kInt8Tile][kParts];
  for (int64_t c = 0; c < kInt8Tile; ++c) {
    for (int p = 0; p < kParts; ++p) acc[c][p] = Load(&sums[c][p * kLanes]);
  }
  alignas(64) Int8Dots dots[2][kInt8Batch];
  const int64_t batched = groups / kInt8Batch * kInt8Batch;
  for (int64_t g = 0; g < batched; g += kInt8Batch) {
    tiles.template Dot<kInt8Batch>(w.at + g, w.stride, x.steps + g, dots[g / kInt8Batch % 2]);
    PrefetchBatch(soon, g);
    for (int64_t i = 0; g > 0 && i < kInt8Batch; ++i) {
      AddDots(dots[(g / kInt8Batch + 1) % 2][i], w, x, g - kInt8Batch + i, acc);
    }
  }
  for (int64_t i = 0; batched > 0 && i < kInt8Batch; ++i) {
    AddDots(dots[(batched / kInt8Batch + 1) % 2][i], w, x, batched - kInt8Batch + i, acc);
  }
  for (int64_t g = batched; g < groups; ++g) {
    tiles.template Dot<1>(w.at + g, w.stride, x.steps + g, dots[0]);
    AddDots(dots[0][0], w, x, g, acc);
  }
  for (int64_t c = 0; c < kInt8Tile; ++c) {
    for (int p = 0; p < kParts; ++p) Store(&sums[c][p * kLanes], acc[c][p]);
  }
}

// y [rows][columns], rows `stride` apart, to sums, and back.
template <class Tiles>
void LoadSums(const float* y, int64_t stride, int64_t rows, int64_t columns, Int8Sums& sums) {
  alignas(64) Int8Sums copy = {};
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(copy[r], y + r * stride, static_cast<size_t>(columns) * sizeof(float));
  }
  Tiles::Transpose(copy, sizeof(copy[0]), sums);
}

template <class Tiles>
void StoreSums(const Int8Sums& sums, int64_t rows, int64_t columns, float* y, int64_t stride) {
  alignas(64) Int8Sums copy;
  Tiles::Transpose(sums, sizeof(sums[0]), copy);
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(y + r * stride, copy[r], static_cast<size_t>(columns) * sizeof(float));
  }
}

struct Int8Block {
  Int8RowTile rows[kInt8BlockTiles];
  Int8ColumnTile columns;

  // y of the packed rows by `now`. `soon` are the columns that come next.
  template <class Tiles>
  void Multiply(Tiles& tiles, const Int8Part& part, const Int8Weights& now,
                const Int8Weights& soon) {
    columns.Set(now, part.groups);
    for (int64_t r = 0; r < part.rows; r += kInt8Tile) {
      const int64_t some = part.rows - r < kInt8Tile ? part.rows - r : kInt8Tile;
      float* y = part.y + r * part.stride;
      alignas(64) Int8Sums sums = {};
      if (!part.first) LoadSums<Tiles>(y, part.stride, some, now.count, sums);
      MultiplyTiles(tiles, columns, rows[r / kInt8Tile], part.groups, r == 0 ? soon : Int8Weights{},
                    sums);
      StoreSums<Tiles>(sums, some, now.count, y, part.stride);
    }
  }
};

template <class Tiles>
void MatMulInt8Tiles(const QuantizedRows& x, const BlockQ8_0* w, float* y,
                     const MatMulShape& shape) {
  constexpr int64_t kRows = kInt8BlockTiles * kInt8Tile;
  const int64_t all = shape.k / kInt8Group;
  Tiles tiles;
  Int8Block block;  // not initialised
  for (int64_t m = 0; m < shape.num_rows; m += kRows) {
    const int64_t rows = shape.num_rows - m < kRows ? shape.num_rows - m : kRows;
    for (int64_t g = 0; g < all; g += kInt8BlockGroups) {
      const int64_t groups = all - g < kInt8BlockGroups ? all - g : kInt8BlockGroups;
      for (int64_t r = 0; r < rows; r += kInt8Tile) {
        block.rows[r / kInt8Tile].template Pack<Tiles>(
            {x.q + (m + r) * shape.k + g * kInt8Group, x.scale + (m + r) * all + g}, shape.k,
            rows - r < kInt8Tile ? rows - r : kInt8Tile, groups);
      }
      for (int64_t n = shape.column_begin; n < shape.column_end; n += kInt8Tile) {
        const int64_t left = shape.column_end - n;
        const Int8Weights now = {w + n * all + g, all, left < kInt8Tile ? left : kInt8Tile};
        const Int8Weights soon = {now.at + kInt8Tile * all, all,
                                  left < 2 * kInt8Tile ? left - now.count : kInt8Tile};
        const Int8Part part = {rows, groups, g == 0, y + m * shape.y_stride + n, shape.y_stride};
        block.Multiply(tiles, part, now, soon);
      }
    }
  }
}

}  // namespace
}  // namespace gyrator

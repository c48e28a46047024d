// Matrix products in int8, a group of 32 at a time, over panels of weights (panels.h): lanes are
// columns, so no sum crosses lanes, and four bytes of a row of activations are broadcast to them.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kInt8StepBytes = 4;               // of k that a lane multiplies at once
constexpr int64_t kInt8BlockRows = 24 * kInt8Rows;  // whose part of k stays in the second cache
constexpr int64_t kInt8BlockGroups = 24;  // of 32 along k: a tile's columns stay in the first cache
constexpr int64_t kInt8SoonGroups = 2;    // how far ahead of its use a group is prefetched
constexpr int kInt8PrefetchedVectors = 4;  // of one row, where weights are prefetched

// kLanes columns of a panel, from a group on.
struct Int8Columns {
  const int8_t* q;
  const uint16_t* scale;
};

GYRATOR_SIMD Int8Columns ColumnsAt(const Int8Panels& w, int64_t vector, int64_t group, int64_t k) {
  const Int8Panels panel = w.At(vector / kParts, group, k);
  const int64_t first = vector % kParts * kLanes;
  return {panel.q + first * kInt8StepBytes, panel.scale + first};
}

// A register tile: where its rows and columns begin, and the groups of 32 that it adds up.
template <int kVectors>
struct Int8Tile {
  QuantizedRows x;
  Int8Columns w[kVectors];
  int64_t k;
  int64_t groups;
  int64_t next = 0;  // bytes of q from these columns to those of the next tile, if prefetched
};

// Asks for the lines of a group that comes soon: of this tile, or of the next one.
template <int kVectors>
GYRATOR_SIMD void PrefetchSoon(const Int8Tile<kVectors>& tile, int64_t g, int64_t step) {
  constexpr int64_t kCacheLine = 64;
  const int64_t soon = g + kInt8SoonGroups;
  const int64_t at =
      soon < tile.groups ? soon * kPanelTile : tile.next + (soon - tile.groups) * kPanelTile;
  for (int v = 0; v < kVectors; ++v) {
    Prefetch(tile.w[v].q + at + step * kCacheLine);
    if (step == 0) Prefetch(tile.w[v].scale + at / kPanelGroup);
  }
}

GYRATOR_SIMD IVec BroadcastFour(const int8_t* q) {
  int32_t four;
  std::memcpy(&four, q, sizeof(four));
  return ISet(four);
}

// sums += x times w.
template <int kRows, int kVectors, bool kPrefetch>
GYRATOR_SIMD void MultiplyInt8Tile(const Int8Tile<kVectors>& tile, Vec (&sums)[kRows][kVectors]) {
  const int64_t stride = tile.k / kPanelGroup;  // groups of a row of x
  for (int64_t g = 0; g < tile.groups; ++g) {
    IVec dots[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      const IVec start = Int8Format::Start(tile.x.start[r * stride + g]);
      for (int v = 0; v < kVectors; ++v) dots[r][v] = start;
    }
#pragma GCC unroll 8
    for (int64_t s = 0; s < kPanelGroup / kInt8StepBytes; ++s) {
      if constexpr (kPrefetch) PrefetchSoon(tile, g, s);
      Int8Format::Weights weights[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        const int8_t* line = tile.w[v].q + g * kPanelTile + s * kPanelColumns * kInt8StepBytes;
        weights[v] = Int8Format::Prepare(ILoad(line));
      }
      for (int r = 0; r < kRows; ++r) {
        const IVec four =
            BroadcastFour(tile.x.q + r * tile.k + g * kPanelGroup + s * kInt8StepBytes);
        for (int v = 0; v < kVectors; ++v) {
          dots[r][v] = Int8Format::Step(dots[r][v], weights[v], four);
        }
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      const Vec w_scale = LoadF16(tile.w[v].scale + g * kPanelColumns);
      for (int r = 0; r < kRows; ++r) {
        const Vec scale = Mul(w_scale, Set(tile.x.scale[r * stride + g]));
        sums[r][v] = Fma(ToFloat(dots[r][v]), scale, sums[r][v]);
      }
    }
  }
}

// Where the results of a tile go: rows `stride` apart, `count` columns.
struct Int8Out {
  float* y;
  int64_t stride;
  int64_t count;
  bool first;  // y is written, not added to
};

template <int kRows, int kVectors, bool kPrefetch>
void MultiplyInt8(const Int8Tile<kVectors>& tile, const Int8Out& out) {
  const bool whole = out.count >= kVectors * kLanes;  // of columns
  Vec sums[kRows][kVectors] = {};
  for (int r = 0; r < kRows && !out.first; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const float* from = out.y + r * out.stride + v * kLanes;
      sums[r][v] = whole ? Load(from) : LoadFirst(from, out.count - v * kLanes);
    }
  }
  MultiplyInt8Tile<kRows, kVectors, kPrefetch>(tile, sums);
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      float* to = out.y + r * out.stride + v * kLanes;
      if (whole) {
        Store(to, sums[r][v]);
      } else {
        StoreFirst(to, sums[r][v], out.count - v * kLanes);
      }
    }
  }
}

// `rows` <= kRows of them.
template <int kRows, int kVectors, bool kPrefetch>
void MultiplyInt8Rows(int64_t rows, const Int8Tile<kVectors>& tile, const Int8Out& out) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return MultiplyInt8Rows<kRows - 1, kVectors, kPrefetch>(rows, tile, out);
  }
  MultiplyInt8<kRows, kVectors, kPrefetch>(tile, out);
}

// Vectors of columns from `vector` on; behind the last column the last vector again, whose results
// are not stored.
template <int kVectors>
GYRATOR_SIMD Int8Tile<kVectors> TileAt(const QuantizedRows& x, const Int8Panels& w,
                                       const MatMulShape& shape, int64_t vector, int64_t group) {
  Int8Tile<kVectors> tile = {x.At(0, group, shape.k), {}, shape.k, 0};
  const int64_t last = (shape.num_columns - 1) / kLanes;
  for (int64_t v = 0; v < kVectors; ++v) {
    tile.w[v] = ColumnsAt(w, vector + v < last ? vector + v : last, group, shape.k);
  }
  return tile;
}

// All of k at once, up to kRows rows: weights are read once, in order.
template <int kRows, int kVectors, bool kPrefetch>
void MatMulInt8Streamed(const QuantizedRows& x, const Int8Panels& w, float* y,
                        const MatMulShape& shape) {
  static_assert(!kPrefetch || kLanes == kPanelColumns);
  for (int64_t n = 0; n < shape.num_columns; n += kVectors * kLanes) {
    auto tile = TileAt<kVectors>(x, w, shape, n / kLanes, 0);
    tile.groups = shape.k / kPanelGroup;
    const bool last = shape.num_columns - n <= kVectors * kLanes;
    tile.next = last ? 0 : kVectors * tile.groups * kPanelTile;
    MultiplyInt8Rows<kRows, kVectors, kPrefetch>(
        shape.num_rows, tile, {y + n, shape.y_stride, shape.num_columns - n, true});
  }
}

// Some rows over `groups` groups from `group` on.
void MatMulInt8Block(const QuantizedRows& x, const Int8Panels& w, float* y,
                     const MatMulShape& shape, int64_t group, int64_t groups) {
  for (int64_t n = 0; n < shape.num_columns; n += kInt8Vectors * kLanes) {
    auto tile = TileAt<kInt8Vectors>(x, w, shape, n / kLanes, group);
    tile.groups = groups;
    for (int64_t r = 0; r < shape.num_rows; r += kInt8Rows) {
      const int64_t left = shape.num_rows - r;
      tile.x = x.At(r, group, shape.k);
      MultiplyInt8Rows<kInt8Rows, kInt8Vectors, false>(
          left < kInt8Rows ? left : kInt8Rows, tile,
          {y + r * shape.y_stride + n, shape.y_stride, shape.num_columns - n, group == 0});
    }
  }
}

// With kPrefetch weights that come from memory are prefetched by instructions.
template <bool kPrefetch>
void MatMulInt8(const QuantizedRows& x, const Int8Panels& w, float* y, const MatMulShape& shape) {
  if (shape.num_rows == 1) {
    constexpr int kVectors = kPrefetch ? kInt8PrefetchedVectors : kInt8OneRowVectors;
    return MatMulInt8Streamed<1, kVectors, kPrefetch>(x, w, y, shape);
  }
  if (shape.num_rows <= kInt8Rows) {
    return MatMulInt8Streamed<kInt8Rows, kInt8Vectors, kPrefetch>(x, w, y, shape);
  }
  const int64_t all = shape.k / kPanelGroup;
  const int64_t blocks = (all + kInt8BlockGroups - 1) / kInt8BlockGroups;
  const int64_t groups = (all + blocks - 1) / blocks;  // of about equal blocks
  MatMulShape block = shape;
  for (int64_t m = 0; m < shape.num_rows; m += kInt8BlockRows) {
    const int64_t rows = shape.num_rows - m;
    block.num_rows = rows < kInt8BlockRows ? rows : kInt8BlockRows;
    for (int64_t g = 0; g < all; g += groups) {
      MatMulInt8Block(x.At(m, 0, shape.k), w, y + m * shape.y_stride, block, g,
                      all - g < groups ? all - g : groups);
    }
  }
}

}  // namespace
}  // namespace gyrator

// bf16.amx.v1 over tiles: the same template over the hardware's (tile_hw.h) and their twin
// (tile_twin.h). Standard headers are included before.
//
// TDPBF16PS multiplies A [16 rows][32 k] by B, which holds pairs of k: [16 pairs][16 columns][2].
// Activations lie as A tiles: [row / 16][k / 32][16][32], zeros behind k; so do weights (panels.h).
// With many rows activations are A, and weights are transposed to B, once for all rows. With few
// rows the weights are A, activations are B, and the sums are those of y transposed. A product of
// one element does not depend on which of the two is A: both ways have the same bits. A tile
// register keeps the sums over the chunks of k; between blocks of k they rest in memory.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kTile = 16;         // rows and columns of a tile
constexpr int64_t kChunk = 32;        // k of one TDPBF16PS
constexpr int64_t kPair = 2 * kTile;  // rows or columns that a step multiplies
constexpr int64_t kFewRows = kPair;   // up to so many, activations are B

int64_t NumTiles(int64_t count) { return (count + kTile - 1) / kTile; }

// An operand in tiles of 16 x 32, from its first tile on: `chunks` of them along k, `stride` from
// one row of tiles to the next.
struct AmxTiles {
  const uint16_t* at;
  int64_t chunks;
  int64_t stride;

  const uint16_t* TileAt(int64_t tile, int64_t chunk) const {
    return at + (tile * stride + chunk) * kTile * kChunk;
  }
  AmxTiles From(int64_t tile) const { return {TileAt(tile, 0), chunks, stride}; }
};

// Where the sums of up to 2 x 2 tiles begin (null: at zero) and where they go: [32][32] both.
struct AmxSums {
  const float* from;
  float* to;
};

using AmxPanel = uint32_t[2][kTile][kTile];  // two B tiles of one chunk

// Up to four tiles of sums: kA tiles, loaded by load(integral constant, chunk), by kB tiles.
template <int kA, int kB, class Tiles, class LoadA>
inline __attribute__((always_inline)) void MultiplyTiles(Tiles& tiles, int64_t chunks,
                                                         const AmxPanel* b, const AmxSums& sums,
                                                         LoadA load) {
  if (sums.from == nullptr) {
    tiles.ClearSums();
  } else {
    tiles.template LoadSums<kA, kB>(sums.from);
  }
  const auto multiply = [&](auto a, int64_t chunk) __attribute__((always_inline)) {
    load(a, chunk);
    tiles.template Multiply<a.value, 0, kB>();
    if constexpr (kB == 2) {
      if constexpr (a.value == 0) tiles.template LoadPairs<1>(&b[chunk][1][0][0]);
      tiles.template Multiply<a.value, 1, kB>();
    }
  };
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    tiles.template LoadPairs<0>(&b[chunk][0][0][0]);
    multiply(std::integral_constant<int, 0>(), chunk);
    if constexpr (kA > 1) multiply(std::integral_constant<int, 1>(), chunk);
    if constexpr (kA > 2) {
      multiply(std::integral_constant<int, 2>(), chunk);
      multiply(std::integral_constant<int, 3>(), chunk);
    }
  }
  tiles.template StoreSums<kA, kB>(sums.to);
}

// body<kA, kB>() for 1 or 2 tiles of each.
template <class Body>
void WithTiles(int64_t a, int64_t b, Body body) {
  using One = std::integral_constant<int, 1>;
  using Two = std::integral_constant<int, 2>;
  if (a == 2 && b == 2) return body(Two(), Two());
  if (a == 2) return body(Two(), One());
  if (b == 2) return body(One(), Two());
  body(One(), One());
}

// --- many rows: y = activations (A) * weights (B)

// Blocks: rows of x by columns of w by k. A block of x and the sums stay in the second cache, which
// y itself would not (its rows often lie a power of two apart); a panel of w stays in the first.
constexpr int64_t kBlockPairs = 16;  // of rows
constexpr int64_t kBlockColumnPairs = 8;
constexpr int64_t kBlockChunks = 16;

struct AmxBlock {
  alignas(64) float sums[kBlockPairs][kBlockColumnPairs][kPair][kPair];
  alignas(64) AmxPanel panel[kBlockChunks];
};

// Columns of w against rows of x.
struct AmxProduct {
  AmxTiles x;
  AmxTiles w;
  int64_t rows;
  int64_t columns;
};

// Up to two rows of tiles to B, over `chunks` chunks from `first` on.
template <class Tiles>
void PackPairs(const AmxTiles& from, int64_t tiles, int64_t first, int64_t chunks,
               AmxPanel* panel) {
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      Tiles::Transpose(from.TileAt(tile, first + chunk), kChunk, panel[chunk][tile]);
    }
  }
}

// The panel against all rows. Its first column is n; `chunks` chunks from `first` on. Nothing is
// prefetched: lines on their way from memory would hold back those from the second cache.
template <class Tiles>
void MultiplyPanel(Tiles& tiles, AmxBlock& block, const AmxProduct& p, int64_t n, int64_t first,
                   int64_t chunks) {
  const int64_t columns = p.columns - n < kPair ? p.columns - n : kPair;
  const int64_t steps = (p.rows + kPair - 1) / kPair;
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t m = step * kPair;
    const int64_t rows = p.rows - m < kPair ? p.rows - m : kPair;
    float* rest = &block.sums[step][n / kPair][0][0];
    const AmxSums sums = {first == 0 ? nullptr : rest, rest};
    const auto load = [&](auto i, int64_t chunk) {
      tiles.template StreamRows<i.value>(p.x.TileAt(m / kTile + i.value, first + chunk));
    };
    WithTiles(NumTiles(rows), NumTiles(columns), [&](auto a, auto b) {
      MultiplyTiles<a.value, b.value>(tiles, chunks, block.panel, sums, load);
    });
  }
}

inline void StoreBlock(const AmxBlock& block, int64_t rows, int64_t columns, float* y,
                       int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    float* to = y + r * stride;
    const auto& from = block.sums[r / kPair];
    for (int64_t n = 0; n + kPair <= columns; n += kPair) {
      std::memcpy(to + n, from[n / kPair][r % kPair], kPair * sizeof(float));
    }
    for (int64_t n = columns / kPair * kPair; n < columns; ++n) {
      to[n] = from[n / kPair][r % kPair][n % kPair];
    }
  }
}

template <class Tiles>
void MatMulManyRows(Tiles& tiles, const AmxProduct& all, float* y, int64_t y_stride) {
  constexpr int64_t kRows = kBlockPairs * kPair, kColumns = kBlockColumnPairs * kPair;
  AmxBlock block;  // not initialised
  for (int64_t m = 0; m < all.rows; m += kRows) {
    for (int64_t n0 = 0; n0 < all.columns; n0 += kColumns) {
      const AmxProduct product = {
          .x = all.x.From(m / kTile),
          .w = all.w.From(n0 / kTile),
          .rows = all.rows - m < kRows ? all.rows - m : kRows,
          .columns = all.columns - n0 < kColumns ? all.columns - n0 : kColumns,
      };
      for (int64_t first = 0; first < all.x.chunks; first += kBlockChunks) {
        const int64_t left = all.x.chunks - first;
        const int64_t chunks = left < kBlockChunks ? left : kBlockChunks;
        for (int64_t n = 0; n < product.columns; n += kPair) {
          const int64_t columns = product.columns - n < kPair ? product.columns - n : kPair;
          PackPairs<Tiles>(product.w.From(n / kTile), NumTiles(columns), first, chunks,
                           block.panel);
          MultiplyPanel(tiles, block, product, n, first, chunks);
        }
      }
      StoreBlock(block, product.rows, product.columns, y + m * y_stride + n0, y_stride);
    }
  }
}

// --- few rows: y transposed += weights (A) * activations (B)

constexpr int64_t kChunksOfFew = 64;  // of k that a panel holds
constexpr int64_t kTilesOfOne = 4;    // of columns at once where there is one tile of rows
constexpr int64_t kSoonChunks = 2;    // how far ahead of its use a tile of weights is prefetched

// Some chunks of the product, and B of all rows over those.
struct AmxFewRows {
  const AmxProduct& p;
  int64_t first;
  int64_t chunks;
  const AmxPanel* panel;
  float* y;
  int64_t y_stride;
};

// kA tiles of columns from tile `at` on. Each is a stream from memory, which the hardware
// prefetches to the end of a page and no further: the lines of the next tiles are asked for here.
template <int kA, int kB, class Tiles>
void MultiplyFewRows(Tiles& tiles, const AmxFewRows& few, int64_t at) {
  alignas(64) float sums[kA * kTile][kPair];  // not initialised: only `rows` of a line are read
  const AmxTiles weights = few.p.w.From(at);
  const int64_t left = few.p.columns - at * kTile;
  const int64_t columns = left < kA * kTile ? left : kA * kTile;
  const int64_t soon_chunks = few.chunks < kSoonChunks ? few.chunks : kSoonChunks;
  float* const y = few.y + at * kTile;
  for (int64_t m = 0; few.first > 0 && m < few.p.rows; ++m) {
    for (int64_t i = 0; i < columns; ++i) sums[i][m] = y[m * few.y_stride + i];
  }
  const auto load = [&](auto i, int64_t chunk) __attribute__((always_inline)) {
    tiles.template LoadRows<i.value>(weights.TileAt(i.value, few.first + chunk), kChunk);
    const int64_t soon = chunk + soon_chunks;
    const uint16_t* ahead = weights.TileAt(i.value, few.first + soon);
    if (soon >= few.chunks) {
      if (left <= (kA + i.value) * kTile) return;
      ahead = weights.TileAt(kA + i.value, few.first + soon - few.chunks);
    }
    for (int64_t row = 0; row < kTile; ++row) __builtin_prefetch(ahead + row * kChunk);
  };
  MultiplyTiles<kA, kB>(tiles, few.chunks, few.panel,
                        {few.first == 0 ? nullptr : &sums[0][0], &sums[0][0]}, load);
  for (int64_t m = 0; m < few.p.rows; ++m) {
    for (int64_t i = 0; i < columns; ++i) y[m * few.y_stride + i] = sums[i][m];
  }
}

template <class Tiles>
void MatMulFewRows(Tiles& tiles, const AmxProduct& p, float* y, int64_t y_stride) {
  alignas(64) AmxPanel panel[kChunksOfFew];  // not initialised
  const int64_t row_tiles = NumTiles(p.rows);
  const int64_t column_tiles = NumTiles(p.columns);
  for (int64_t first = 0; first < p.x.chunks; first += kChunksOfFew) {
    const int64_t chunks = p.x.chunks - first < kChunksOfFew ? p.x.chunks - first : kChunksOfFew;
    PackPairs<Tiles>(p.x, row_tiles, first, chunks, panel);
    const AmxFewRows few = {p, first, chunks, panel, y, y_stride};
    int64_t at = 0;
    for (; row_tiles == 1 && at + kTilesOfOne <= column_tiles; at += kTilesOfOne) {
      MultiplyFewRows<kTilesOfOne, 1>(tiles, few, at);
    }
    for (; at < column_tiles; at += 2) {
      WithTiles(column_tiles - at > 1 ? 2 : 1, row_tiles,
                [&](auto a, auto b) { MultiplyFewRows<a.value, b.value>(tiles, few, at); });
    }
  }
}

template <class Tiles>
void MatMulBf16Tiles(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  const int64_t chunks = NumPanelGroups(shape.k);
  const AmxProduct product = {.x = {x, chunks, Bf16RowTileChunks(shape.k)},
                              .w = {w, chunks, chunks},
                              .rows = shape.num_rows,
                              .columns = shape.num_columns};
  Tiles tiles;
  if (shape.num_rows > kFewRows) return MatMulManyRows(tiles, product, y, shape.y_stride);
  MatMulFewRows(tiles, product, y, shape.y_stride);
}

}  // namespace
}  // namespace gyrator

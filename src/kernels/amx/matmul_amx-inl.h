// bf16.amx.v1 over tiles: the same template over the hardware's (tile_hw.h) and their twin
// (tile_twin.h). Standard headers are included before.
//
// TDPBF16PS multiplies A [16 rows][32 k] by B, which holds pairs of k: [16 pairs][16 columns][2].
// Activations lie as A tiles: [row / 16][k / 32][16][32], zeros behind k. With many rows they are
// A, and weights are transposed to B, once for all rows. With few rows the weights are A, taken
// from where they lie, activations are B, and the sums are those of y transposed. A product of one
// element does not depend on which of the two is A: both ways have the same bits. Missing elements
// of a pair are x = +0, w = -0, whose product changes no chain. A tile register keeps the sums over
// the chunks of k; between blocks of k they rest in memory.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kTile = 16;         // rows and columns of a tile
constexpr int64_t kChunk = 32;        // k of one TDPBF16PS
constexpr int64_t kPair = 2 * kTile;  // rows or columns that a step multiplies
constexpr int64_t kFewRows = kPair;   // up to so many, activations are B
constexpr uint16_t kBf16MinusZero = 0x8000;

int64_t NumChunks(int64_t k) { return (k + kChunk - 1) / kChunk; }
int64_t NumTiles(int64_t count) { return (count + kTile - 1) / kTile; }

// Rows of weights: `rows` of them from `at`, k elements each.
struct AmxWeights {
  const uint16_t* at;
  int64_t rows;
  int64_t k;

  // A tile of them, of rows behind the last the last again. REQUIRES a row in the tile.
  void CopyTile(int64_t tile, int64_t chunk, uint16_t (&to)[kTile][kChunk]) const {
    const int64_t left = k - chunk * kChunk;
    for (int64_t r = 0; r < kTile; ++r) {
      const int64_t row = tile * kTile + r < rows ? tile * kTile + r : rows - 1;
      const uint16_t* from = at + row * k + chunk * kChunk;
      for (int64_t i = 0; i < kChunk; ++i) to[r][i] = i < left ? from[i] : kBf16MinusZero;
    }
  }
  bool HasWhole(int64_t tile, int64_t chunk) const {
    return (tile + 1) * kTile <= rows && (chunk + 1) * kChunk <= k;
  }
  const uint16_t* TileAt(int64_t tile, int64_t chunk) const {
    return at + tile * kTile * k + chunk * kChunk;
  }
  // Up to `count` of them from `first` on.
  AmxWeights Rows(int64_t first, int64_t count) const {
    return {at + first * k, rows - first < count ? rows - first : count, k};
  }
};

// Activations in Bf16Layout::kTiles, from the first tile on: `chunks` tiles of k, `stride` tiles
// between rows of tiles.
struct AmxActivations {
  const uint16_t* at;
  int64_t chunks;
  int64_t stride;

  const uint16_t* TileAt(int64_t tile, int64_t chunk) const {
    return at + (tile * stride + chunk) * kTile * kChunk;
  }
};

// Where the sums of up to 2 x 2 tiles begin (null: at zero) and where they go: [32][32] both.
struct AmxSums {
  const float* from;
  float* to;
};

using AmxPanel = uint32_t[2][kTile][kTile];  // two B tiles of one chunk

// Up to 2 x 2 tiles of sums: kA tiles, loaded by load(integral constant, chunk), by kB tiles.
template <int kA, int kB, class Tiles, class LoadA>
inline __attribute__((always_inline)) void MultiplyTiles(Tiles& tiles, int64_t chunks,
                                                         const AmxPanel* b, const AmxSums& sums,
                                                         LoadA load) {
  if (sums.from == nullptr) {
    tiles.ClearSums();
  } else {
    tiles.template LoadSums<kA, kB>(sums.from);
  }
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    tiles.template LoadPairs<0>(&b[chunk][0][0][0]);
    load(std::integral_constant<int, 0>(), chunk);
    tiles.template Multiply<0, 0>();
    if constexpr (kB == 2) {
      tiles.template LoadPairs<1>(&b[chunk][1][0][0]);
      tiles.template Multiply<0, 1>();
    }
    if constexpr (kA == 2) {
      load(std::integral_constant<int, 1>(), chunk);
      tiles.template Multiply<1, 0>();
      if constexpr (kB == 2) tiles.template Multiply<1, 1>();
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
  AmxActivations x;
  AmxWeights w;
  int64_t rows;
};

template <class Tiles>
void PackWeights(const AmxWeights& w, int64_t first_chunk, int64_t chunks, AmxPanel* panel) {
  alignas(64) uint16_t copy[kTile][kChunk];
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    for (int64_t tile = 0; tile < NumTiles(w.rows); ++tile) {
      const bool whole = w.HasWhole(tile, first_chunk + chunk);
      if (!whole) w.CopyTile(tile, first_chunk + chunk, copy);
      Tiles::Transpose(whole ? w.TileAt(tile, first_chunk + chunk) : &copy[0][0],
                       whole ? w.k : kChunk, panel[chunk][tile]);
    }
  }
}

// The panel against all rows. Its first column is n; `chunks` chunks from `first` on. Nothing is
// prefetched: lines on their way from memory would hold back those from the second cache.
template <class Tiles>
void MultiplyPanel(Tiles& tiles, AmxBlock& block, const AmxProduct& p, int64_t n, int64_t first,
                   int64_t chunks) {
  const AmxWeights panel = p.w.Rows(n, kPair);
  const int64_t steps = (p.rows + kPair - 1) / kPair;
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t m = step * kPair;
    const int64_t rows = p.rows - m < kPair ? p.rows - m : kPair;
    float* rest = &block.sums[step][n / kPair][0][0];
    const AmxSums sums = {first == 0 ? nullptr : rest, rest};
    const auto load = [&](auto i, int64_t chunk) {
      tiles.template StreamRows<i.value>(p.x.TileAt(m / kTile + i.value, first + chunk));
    };
    WithTiles(NumTiles(rows), NumTiles(panel.rows), [&](auto a, auto b) {
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
void MatMulManyRows(Tiles& tiles, const uint16_t* x, const uint16_t* w, float* y,
                    const MatMulShape& shape) {
  constexpr int64_t kRows = kBlockPairs * kPair, kColumns = kBlockColumnPairs * kPair;
  AmxBlock block;  // not initialised
  const AmxActivations all = {x, NumChunks(shape.k), Bf16RowTileChunks(shape.k)};
  for (int64_t m = 0; m < shape.num_rows; m += kRows) {
    for (int64_t n0 = shape.column_begin; n0 < shape.column_end; n0 += kColumns) {
      const AmxProduct product = {.x = {all.TileAt(m / kTile, 0), all.chunks, all.stride},
                                  .w = AmxWeights{w, shape.column_end, shape.k}.Rows(n0, kColumns),
                                  .rows = shape.num_rows - m < kRows ? shape.num_rows - m : kRows};
      for (int64_t first = 0; first < all.chunks; first += kBlockChunks) {
        const int64_t left = all.chunks - first;
        const int64_t chunks = left < kBlockChunks ? left : kBlockChunks;
        for (int64_t n = 0; n < product.w.rows; n += kPair) {
          PackWeights<Tiles>(product.w.Rows(n, kPair), first, chunks, block.panel);
          MultiplyPanel(tiles, block, product, n, first, chunks);
        }
      }
      StoreBlock(block, product.rows, product.w.rows, y + m * shape.y_stride + n0, shape.y_stride);
    }
  }
}

// --- few rows: y transposed += weights (A) * activations (B)

constexpr int64_t kChunksOfFew = 64;  // of k that a panel holds

// Tile I of A: weights, of which a ragged tile goes through `copy`.
template <int kI, class Tiles>
inline __attribute__((always_inline)) void LoadWeights(Tiles& tiles, const AmxWeights& w,
                                                       int64_t chunk,
                                                       uint16_t (&copy)[kTile][kChunk]) {
  if (w.HasWhole(kI, chunk)) {
    tiles.template LoadRows<kI>(w.TileAt(kI, chunk), w.k);
  } else {
    w.CopyTile(kI, chunk, copy);
    tiles.template LoadRows<kI>(&copy[0][0], kChunk);
  }
}

template <class Tiles>
void MatMulFewRows(Tiles& tiles, const uint16_t* x, const uint16_t* w, float* y,
                   const MatMulShape& shape) {
  alignas(64) AmxPanel panel[kChunksOfFew];  // not initialised
  alignas(64) uint16_t copy[kTile][kChunk];
  alignas(64) float sums[kPair][kPair] = {};
  const int64_t all = NumChunks(shape.k), row_tiles = NumTiles(shape.num_rows);
  const AmxActivations rows = {x, all, Bf16RowTileChunks(shape.k)};
  for (int64_t first = 0; first < all; first += kChunksOfFew) {
    const int64_t chunks = all - first < kChunksOfFew ? all - first : kChunksOfFew;
    for (int64_t tile = 0; tile < row_tiles; ++tile) {
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        Tiles::Transpose(rows.TileAt(tile, first + chunk), kChunk, panel[chunk][tile]);
      }
    }
    for (int64_t n = shape.column_begin; n < shape.column_end; n += kPair) {
      const AmxWeights weights = AmxWeights{w, shape.column_end, shape.k}.Rows(n, kPair);
      const int64_t columns = weights.rows;
      float* at = y + n;
      for (int64_t m = 0; first > 0 && m < shape.num_rows; ++m) {
        for (int64_t i = 0; i < columns; ++i) sums[i][m] = at[m * shape.y_stride + i];
      }
      WithTiles(NumTiles(columns), row_tiles, [&](auto a, auto b) {
        MultiplyTiles<a.value, b.value>(tiles, chunks, panel,
                                        {first == 0 ? nullptr : &sums[0][0], &sums[0][0]},
                                        [&](auto i, int64_t chunk) {
                                          LoadWeights<i.value>(tiles, weights, first + chunk, copy);
                                        });
      });
      for (int64_t m = 0; m < shape.num_rows; ++m) {
        for (int64_t i = 0; i < columns; ++i) at[m * shape.y_stride + i] = sums[i][m];
      }
    }
  }
}

template <class Tiles>
void MatMulBf16Tiles(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  Tiles tiles;
  if (shape.num_rows > kFewRows) return MatMulManyRows(tiles, x, w, y, shape);
  MatMulFewRows(tiles, x, w, y, shape);
}

}  // namespace
}  // namespace gyrator

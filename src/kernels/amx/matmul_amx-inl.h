// bf16.amx.v1 over tiles: the same template over the hardware's (tile_hw.h) and their twin
// (tile_twin.h). Standard headers are included before.
//
// TDPBF16PS multiplies A [16 rows][32 k] by B, which holds pairs of k: [16 pairs][16 columns][2].
// Weights are A, taken from where they lie; activations are B, packed once for all columns of a
// call; the result is a tile of y transposed. Missing elements of a pair are x = +0, w = -0, whose
// product changes no chain. A tile register keeps acc over the chunks of k; between blocks of k it
// rests in y.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kTile = 16;       // rows and columns of a tile
constexpr int64_t kChunk = 32;      // k of one TDPBF16PS
constexpr int64_t kAmxRows = 256;   // of a block of activations
constexpr int64_t kAmxChunks = 64;  // of a block of k
constexpr uint16_t kBf16MinusZero = 0x8000;

// The activations of a block as B tiles: [row / 16][chunk][pair][row % 16], 1 MiB of stack.
struct AmxActivations {
  alignas(64) uint32_t tiles[kAmxRows / kTile][kAmxChunks][kTile][kTile];

  void Pack(const uint16_t* x, int64_t stride, int64_t rows, int64_t count) {
    for (int64_t m = 0; m < (rows + kTile - 1) / kTile * kTile; ++m) {
      const uint16_t* row = x + (m < rows ? m : rows - 1) * stride;
      for (int64_t k = 0; k < (count + kChunk - 1) / kChunk * kChunk; k += 2) {
        const uint32_t even = k < count ? row[k] : 0u;
        const uint32_t odd = k + 1 < count ? row[k + 1] : 0u;
        tiles[m / kTile][k / kChunk][k % kChunk / 2][m % kTile] = even | odd << 16;
      }
    }
  }
};

// The part of w that a step multiplies: `columns` rows of w, `count` elements along k, from `at`.
struct AmxWeights {
  const uint16_t* at;
  int64_t stride;  // k
  int64_t columns;
  int64_t count;
};

// Loads the chunk's tile kW of weights; a ragged one goes through `padded`.
template <class Tiles, int kW>
inline __attribute__((always_inline)) void LoadWeights(Tiles& tiles, const AmxWeights& w,
                                                       int64_t chunk,
                                                       uint16_t (&padded)[kTile][kChunk]) {
  const int64_t columns = w.columns - kW * kTile;
  const int64_t left = w.count - chunk * kChunk;
  const uint16_t* from = w.at + kW * kTile * w.stride + chunk * kChunk;
  if (columns >= kTile && left >= kChunk) {
    tiles.template LoadWeights<kW>(from, w.stride);
    return;
  }
  for (int64_t n = 0; n < kTile; ++n) {
    const uint16_t* row = from + (n < columns ? n : columns - 1) * w.stride;
    for (int64_t k = 0; k < kChunk; ++k) padded[n][k] = k < left ? row[k] : kBf16MinusZero;
  }
  tiles.template LoadWeights<kW>(&padded[0][0], kChunk);
}

// Where a step's sums go: `rows` rows of y from `at`; unless `first`, they hold the sums so far.
struct AmxResult {
  float* at;
  int64_t stride;
  int64_t rows;
  bool first;
};

// Up to 2 x 2 tiles of y: kW tiles of columns by kX tiles of rows.
template <class Tiles, int kW, int kX>
void MultiplyTiles(Tiles& tiles, const AmxWeights& w, const uint32_t (*x)[kAmxChunks][kTile][kTile],
                   const AmxResult& y) {
  alignas(64) uint16_t padded[kTile][kChunk];
  alignas(64) float c[2][2][kTile][kTile];
  const int64_t columns = w.columns < kW * kTile ? w.columns : kW * kTile;
  for (int64_t m = 0; !y.first && m < y.rows; ++m) {
    for (int64_t n = 0; n < columns; ++n) {
      c[n / kTile][m / kTile][n % kTile][m % kTile] = y.at[m * y.stride + n];
    }
  }
  tiles.template LoadSums<kW, kX>(c, y.first);
  for (int64_t chunk = 0; chunk * kChunk < w.count; ++chunk) {
    tiles.template LoadActivations<0>(&x[0][chunk][0][0]);
    if constexpr (kX == 2) tiles.template LoadActivations<1>(&x[1][chunk][0][0]);
    LoadWeights<Tiles, 0>(tiles, w, chunk, padded);
    tiles.template Multiply<0, 0>();
    if constexpr (kX == 2) tiles.template Multiply<0, 1>();
    if constexpr (kW == 2) {
      LoadWeights<Tiles, 1>(tiles, w, chunk, padded);
      tiles.template Multiply<1, 0>();
      if constexpr (kX == 2) tiles.template Multiply<1, 1>();
    }
  }
  tiles.template StoreSums<kW, kX>(c);
  for (int64_t m = 0; m < y.rows; ++m) {
    for (int64_t n = 0; n < columns; ++n) {
      y.at[m * y.stride + n] = c[n / kTile][m / kTile][n % kTile][m % kTile];
    }
  }
}

template <class Tiles>
void MatMulBf16Tiles(const uint16_t* x, const uint16_t* w, float* y, const MatMulShape& shape) {
  Tiles tiles;
  AmxActivations packed;  // not initialised
  constexpr int64_t kDepth = kAmxChunks * kChunk;
  for (int64_t m0 = 0; m0 < shape.num_rows; m0 += kAmxRows) {
    const int64_t block = shape.num_rows - m0 < kAmxRows ? shape.num_rows - m0 : kAmxRows;
    for (int64_t k = 0; k < shape.k; k += kDepth) {
      const int64_t count = shape.k - k < kDepth ? shape.k - k : kDepth;
      packed.Pack(x + m0 * shape.k + k, shape.k, block, count);
      for (int64_t n = shape.column_begin; n < shape.column_end; n += 2 * kTile) {
        const AmxWeights weights = {w + n * shape.k + k, shape.k, shape.column_end - n, count};
        for (int64_t m = 0; m < block; m += 2 * kTile) {
          const int64_t rows = block - m < 2 * kTile ? block - m : 2 * kTile;
          const auto* tile = &packed.tiles[m / kTile];
          const AmxResult to = {y + (m0 + m) * shape.y_stride + n, shape.y_stride, rows, k == 0};
          const auto multiply =
              weights.columns > kTile
                  ? (rows > kTile ? MultiplyTiles<Tiles, 2, 2> : MultiplyTiles<Tiles, 2, 1>)
                  : (rows > kTile ? MultiplyTiles<Tiles, 1, 2> : MultiplyTiles<Tiles, 1, 1>);
          multiply(tiles, weights, tile, to);
        }
      }
    }
  }
}

}  // namespace
}  // namespace gyrator

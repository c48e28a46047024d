#include <immintrin.h>

#include "kernels/amx/ops_amx.h"
#include "kernels/simd/includes.h"

#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunused-function"  // of the headers, all of which are one layer
#pragma clang attribute push(                                                                          \
    __attribute__((target(                                                                             \
        "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,amx-tile,amx-bf16"))), \
    apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // GCC 12 in its own _mm512_undefined_*
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wunused-function"  // of the headers, all of which are one layer
#pragma GCC push_options
#pragma GCC target( \
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,amx-tile,amx-bf16")
#endif

#include "kernels/simd/avx512.h"
//
#include "kernels/simd/vector-inl.h"
//
#include "kernels/simd/elementwise-inl.h"
//
#include "kernels/simd/attention-inl.h"
//
#include "kernels/amx/tile_hw.h"

namespace gyrator {
namespace {

constexpr int32_t kTileQueries = 16;
constexpr int32_t kTileChunk = 32;  // dimensions of the scores, positions of the values
constexpr int32_t kTileDims = 16;   // of the values
static_assert(kTileChunk == kAttentionTile);

// bf16 KV by tiles where 16 queries see the whole of 32 positions: keys and values lie as B wants
// them, but that the pairs of a tile of values come from two blocks.
struct TiledKv : Bf16Kv {
  static constexpr bool kBf16Queries = true;
};

struct ValueTiles {
  alignas(64) uint32_t pairs[kHeadDimMax / kTileDims][16][kTileDims];

  void Copy(const TileView<uint16_t>& tile, int32_t dim) {
    for (int32_t d = 0; d < dim; d += kTileDims) {
      for (int32_t i = 0; i < 16; ++i) {
        const uint16_t* from = tile.values[i / 8] + (i % 8 * dim + d) * 2;
        _mm512_store_si512(pairs[d / kTileDims][i], _mm512_loadu_si512(from));
      }
    }
  }
};

void PrefetchTile(const SoonTile& soon, int32_t dim) {
  constexpr int32_t kLine = 64;  // bytes
  for (int32_t b = 0; b < kTileBlocks; ++b) {
    for (int64_t i = 0; i < soon.step_bytes * dim / 2; i += kLine) {
      Prefetch(soon.keys[b] + i);
      Prefetch(soon.values[b] + i);
    }
  }
}

// weights[q][32 positions] = dot(query, key) for kA tiles of queries.
template <int kA>
void TileScores(const TileView<uint16_t>& tile, Queries& s, int32_t q) {
  using Tiles = HardwareTiles;
  Tiles::ClearSums();
  for (int32_t d = 0; d < s.dim; d += kTileChunk) {
    const uint16_t* query = s.query_bf16 + q * s.stride + d;
    Tiles::LoadPairs<0>(tile.keys[0] + d * kBlockPositions);
    Tiles::LoadPairs<1>(tile.keys[1] + d * kBlockPositions);
    Tiles::LoadRows<0>(query, s.stride);
    Tiles::Multiply<0, 0>();
    Tiles::Multiply<0, 1>();
    if constexpr (kA == 2) {
      Tiles::LoadRows<1>(query + kTileQueries * s.stride, s.stride);
      Tiles::Multiply<1, 0>();
      Tiles::Multiply<1, 1>();
    }
  }
  Tiles::StoreSums<kA, 2>(s.weights[q]);
}

// acc = acc * decay + weights x values for kA tiles of queries.
template <int kA>
void TileValues(const ValueTiles& values, Queries& s, int32_t q) {
  using Tiles = HardwareTiles;
  constexpr int32_t kQ = kA * kTileQueries;
  alignas(64) uint16_t weights[kQ][kTileChunk];
  alignas(64) float sums[kQ][2 * kTileDims];
  for (int32_t i = 0; i < kQ; ++i) {
    for (int32_t p = 0; p < kTileChunk; p += kLanes) {
      StoreLowHalves(weights[i] + p, ShiftRight<16>(Bits(Load(&s.weights[q + i][p]))));
    }
  }
  Tiles::LoadRows<0>(weights[0], kTileChunk);
  if constexpr (kA == 2) Tiles::LoadRows<1>(weights[kTileQueries], kTileChunk);
  for (int32_t d = 0; d < s.dim; d += 2 * kTileDims) {
    Tiles::ClearSums();
    Tiles::LoadPairs<0>(values.pairs[d / kTileDims][0]);
    Tiles::LoadPairs<1>(values.pairs[d / kTileDims + 1][0]);
    Tiles::Multiply<0, 0>();
    Tiles::Multiply<0, 1>();
    if constexpr (kA == 2) {
      Tiles::Multiply<1, 0>();
      Tiles::Multiply<1, 1>();
    }
    Tiles::StoreSums<kA, 2>(sums[0]);
    for (int32_t i = 0; i < kQ; ++i) {
      const Vec decay = Set(s.decay[q + i]);
      float* acc = s.acc + (q + i) * s.stride + d;
      for (int32_t p = 0; p < 2 * kTileDims; p += kLanes) {
        Store(acc + p, Add(Mul(Load(acc + p), decay), Load(&sums[i][p])));
      }
    }
  }
}

template <>
void TileForQueries<TiledKv>(const TileView<uint16_t>& tile, const SoonTile& soon, Queries& s,
                             const Run& run) {
  const auto [begin, end, visible] = run;
  if (visible < kAttentionTile || (end - begin) % kTileQueries != 0) {
    return TileForQueries<Bf16Kv>(tile, soon, s, run);
  }
  PrefetchTile(soon, s.dim);
  const int32_t pairs_end = begin + (end - begin) / (2 * kTileQueries) * (2 * kTileQueries);
  for (int32_t q = begin; q < pairs_end; q += 2 * kTileQueries) TileScores<2>(tile, s, q);
  if (pairs_end < end) TileScores<1>(tile, s, pairs_end);
  SoftmaxTile<true>(s, begin, end, visible);
  ValueTiles values;  // not initialised
  values.Copy(tile, s.dim);
  for (int32_t q = begin; q < pairs_end; q += 2 * kTileQueries) TileValues<2>(values, s, q);
  if (pairs_end < end) TileValues<1>(values, s, pairs_end);
}

}  // namespace

bool AmxAttends(const AttentionArgs& args) {
  return KvInPairs(args.kv->dtype) && args.kv->head_dim % kTileChunk == 0 &&
         args.kv->head_dim <= kHeadDimMax && args.num_rows * args.heads_per_kv >= kTileQueries;
}

void AmxAttention(const AttentionArgs& args) {
  const HardwareTiles tiles;
  if (args.kv->dtype == DType::kI8) return AttentionOf<TiledKv, Int8Tiles>(args, {});
  AttentionOf<TiledKv>(args, {});
}

}  // namespace gyrator

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

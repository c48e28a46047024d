// Attention over paged KV: a block of queries (rows x heads of one kv head) against one tile of 32
// positions at a time. Lanes are positions in the scores and dimensions in the values, so that no
// sum crosses lanes but those of the softmax.
#pragma once

#include "kernels/simd/kv_tiles-inl.h"

namespace gyrator {
namespace {

constexpr int32_t kQueriesMax = 64;     // of one block
constexpr int32_t kQueryFloats = 8192;  // queries x padded head_dim of one block
static_assert(kQueryFloats >= kHeadDimMax);

// How keys and values of one dtype multiply. A step is one dimension of the scores or one position
// of the values (bf16: a pair); Chain is what one output element accumulates over a chunk of steps.
struct F32Kv {
  using Element = float;
  static constexpr int kPair = 1;                 // elements of a step
  static constexpr int kChunk = kHeadDimMax;      // steps before a chain is added to the sum
  static constexpr int kQueries = kScoreRowsF32;  // of a register tile
  static constexpr bool kBf16Queries = false;     // Queries::query_bf16 is wanted
  struct Chain {
    Vec sum;
    GYRATOR_SIMD Vec AddTo(Vec) const { return sum; }
  };
  struct Operand {
    Vec v;
  };
  static GYRATOR_SIMD Operand LoadStep(const Element* p) { return {Load(p)}; }
  static GYRATOR_SIMD Operand LoadStepFirst(const Element* p, int64_t n) {
    return {LoadFirst(p, n)};
  }
  static GYRATOR_SIMD void Multiply(const float* a, const Operand& b, Chain& chain) {
    chain.sum = Fma(Set(a[0]), b.v, chain.sum);
  }
  static GYRATOR_SIMD void MultiplyEven(const float*, const Operand&, Chain&) {}
};

struct F16Kv : F32Kv {
  using Element = uint16_t;
  static GYRATOR_SIMD Operand LoadStep(const Element* p) { return {LoadF16(p)}; }
  static GYRATOR_SIMD Operand LoadStepFirst(const Element* p, int64_t n) {
    uint16_t padded[kLanes] = {};
    std::memcpy(padded, p, static_cast<size_t>(n) * sizeof(uint16_t));
    return {LoadF16(padded)};
  }
};

struct Bf16Kv {
  using Element = uint16_t;
  static constexpr int kPair = 2;
  static constexpr int kChunk = 16;
  static constexpr int kQueries = kScoreRowsBf16;
  static constexpr bool kBf16Queries = false;
  struct Chain {
    Vec even, odd;
    GYRATOR_SIMD Vec AddTo(Vec sum) const { return Add(sum, Add(even, odd)); }
  };
  struct Operand {
    Vec even, odd;
  };
  static GYRATOR_SIMD Operand Widen(IVec pairs) {
    return {FromBits(ShiftLeft<16>(pairs)),
            FromBits(IAnd(pairs, ISet(static_cast<int32_t>(0xffff0000u))))};
  }
  static GYRATOR_SIMD Operand LoadStep(const Element* p) { return Widen(ILoad(p)); }
  static GYRATOR_SIMD Operand LoadStepFirst(const Element* p, int64_t n) {
    uint16_t padded[2 * kLanes] = {};
    std::memcpy(padded, p, static_cast<size_t>(n) * 2 * sizeof(uint16_t));
    return Widen(ILoad(padded));
  }
  static GYRATOR_SIMD void Multiply(const float* a, const Operand& b, Chain& chain) {
    chain.even = Fma(Set(a[0]), b.even, chain.even);
    chain.odd = Fma(Set(a[1]), b.odd, chain.odd);
  }
  static GYRATOR_SIMD void MultiplyEven(const float* a, const Operand& b, Chain& chain) {
    chain.even = Fma(Set(a[0]), b.even, chain.even);
  }
};

template <class Kv>
using TileOf = TileView<typename Kv::Element>;

// The state of one block of queries.
struct Queries {
  int32_t count = 0;
  int32_t dim = 0;
  int32_t stride = 0;  // floats between queries: dim rounded up to 16
  float scale = 0;
  float max[kQueriesMax], sum[kQueriesMax];              // of the current span
  float total_max[kQueriesMax], total_sum[kQueriesMax];  // of the spans before
  float decay[kQueriesMax];                              // of the current tile
  alignas(64) float weights[kQueriesMax][kAttentionTile];
  alignas(64) float query[kQueryFloats];
  alignas(64) uint16_t query_bf16[kQueryFloats];
  alignas(64) float acc[kQueryFloats];
  alignas(64) float total[kQueryFloats];
};

// weights[q][16 block ...] = dot(query, key) of one block for kQ queries. With kPrefetch the lines
// of the block after the next one are asked for on the way: blocks are too short for the hardware.
template <class Kv, int kQ, bool kPrefetch>
GYRATOR_SIMD void ScoreBlock(const TileOf<Kv>& tile, const SoonTile& soon, Queries& s,
                             int32_t first, int32_t block) {
  const typename Kv::Element* keys = tile.keys[block];
  Vec sums[kQ][kParts] = {};
  const float* query = s.query + first * s.stride;
  const int32_t steps = s.dim / Kv::kPair;
  for (int32_t begin = 0; begin < steps; begin += Kv::kChunk) {
    const int32_t end = steps - begin < Kv::kChunk ? steps : begin + Kv::kChunk;
    typename Kv::Chain chains[kQ][kParts] = {};
    for (int32_t i = begin; i < end; ++i) {
      if constexpr (kPrefetch) {
        Prefetch(soon.keys[block] + i * soon.step_bytes);
        Prefetch(soon.values[block] + i * soon.step_bytes);
      }
      typename Kv::Operand k[kParts];
      for (int p = 0; p < kParts; ++p) {
        k[p] = Kv::LoadStep(keys + (i * kBlockPositions + p * kLanes) * Kv::kPair);
      }
      for (int q = 0; q < kQ; ++q) {
        for (int p = 0; p < kParts; ++p) {
          Kv::Multiply(query + q * s.stride + i * Kv::kPair, k[p], chains[q][p]);
        }
      }
    }
    for (int q = 0; q < kQ; ++q) {
      for (int p = 0; p < kParts; ++p) sums[q][p] = chains[q][p].AddTo(sums[q][p]);
    }
  }
  for (int q = 0; q < kQ; ++q) {
    for (int p = 0; p < kParts; ++p) {
      Store(&s.weights[first + q][block * kBlockPositions + p * kLanes], sums[q][p]);
    }
  }
}

// Scores of the tile's first `visible` positions to weights of the softmax; max, sum and decay of
// queries begin .. end - 1.
template <bool kRoundBf16>
void SoftmaxTile(Queries& s, int32_t begin, int32_t end, int32_t visible) {
  constexpr int kVecs = kAttentionTile / kLanes;
  const Vec lowest = FromBits(ISet(static_cast<int32_t>(0xff800000u)));
  float max[kQueriesMax], fold[kQueriesMax];
  for (int32_t q = begin; q < end; ++q) {
    Vec top = lowest;
    for (int v = 0; v < kVecs; ++v) {
      Vec x = Mul(Load(&s.weights[q][v * kLanes]), Set(s.scale));
      if (visible < kAttentionTile) x = Select(FirstLanes(visible - v * kLanes), x, lowest);
      Store(&s.weights[q][v * kLanes], x);
      top = Max(top, x);
    }
    const float tile_max = MaxLane(top);
    max[q] = tile_max > s.max[q] ? tile_max : s.max[q];
  }
  for (int32_t q = begin; q < end; ++q) {
    Vec lanes[kParts] = {};
    for (int v = 0; v < kVecs; ++v) {
      const Vec e = VectorExp(Sub(Load(&s.weights[q][v * kLanes]), Set(max[q])));  // 0: masked
      lanes[v % kParts] = Add(lanes[v % kParts], e);
      Store(&s.weights[q][v * kLanes], kRoundBf16 ? RoundToBf16(e) : e);
    }
    fold[q] = Fold(lanes);
  }
  ForEachVector(end - begin, [&](int64_t i, int64_t count) {
    const int64_t q = begin + i;
    const Vec now = LoadFirst(max + q, count);
    const Vec decay = VectorExp(Sub(LoadFirst(s.max + q, count), now));  // 0 in the first tile
    const Vec sum = Fma(LoadFirst(s.sum + q, count), decay, LoadFirst(fold + q, count));
    StoreFirst(s.decay + q, decay, count);
    StoreFirst(s.sum + q, sum, count);
    StoreFirst(s.max + q, now, count);
  });
}

// acc = acc * decay + weights x values over the first `visible` positions, for kQ queries and kD
// vectors of dimensions from `dim` on; unless kWhole, one that ends with the head.
template <class Kv, int kQ, int kD, bool kWhole>
GYRATOR_SIMD void ValueVectors(const TileOf<Kv>& tile, Queries& s, int32_t first, int32_t visible,
                               int32_t dim) {
  typename Kv::Chain chains[kQ][kD] = {};
  const auto load = [&](const typename Kv::Element* p) GYRATOR_SIMD_LAMBDA {
    return kWhole ? Kv::LoadStep(p) : Kv::LoadStepFirst(p, s.dim - dim);
  };
  for (int32_t b = 0; b < kTileBlocks && b * kBlockPositions < visible; ++b) {
    const int32_t left = visible - b * kBlockPositions;
    const int32_t positions = left < kBlockPositions ? left : kBlockPositions;
    const float* weights = &s.weights[first][b * kBlockPositions];
    const typename Kv::Element* row = tile.values[b] + dim * Kv::kPair;
    int32_t i = 0;
    for (; i + Kv::kPair <= positions; i += Kv::kPair, row += s.dim * Kv::kPair) {
      typename Kv::Operand v[kD];
      for (int d = 0; d < kD; ++d) v[d] = load(row + d * kLanes * Kv::kPair);
      for (int q = 0; q < kQ; ++q) {
        for (int d = 0; d < kD; ++d) {
          Kv::Multiply(weights + q * kAttentionTile + i, v[d], chains[q][d]);
        }
      }
    }
    for (int q = 0; i < positions && q < kQ; ++q) {  // the even half of a pair
      for (int d = 0; d < kD; ++d) {
        Kv::MultiplyEven(weights + q * kAttentionTile + i, load(row + d * kLanes * Kv::kPair),
                         chains[q][d]);
      }
    }
  }
  for (int q = 0; q < kQ; ++q) {
    for (int d = 0; d < kD; ++d) {
      float* acc = s.acc + (first + q) * s.stride + dim + d * kLanes;
      Store(acc, Add(Mul(Load(acc), Set(s.decay[first + q])), chains[q][d].AddTo(Zero())));
    }
  }
}

template <class Kv, int kQ, bool kPrefetch>
void ScoreTile(const TileOf<Kv>& tile, const SoonTile& soon, Queries& s, int32_t first,
               int32_t visible) {
  for (int32_t b = 0; b < kTileBlocks && b * kBlockPositions < visible; ++b) {
    ScoreBlock<Kv, kQ, kPrefetch>(tile, soon, s, first, b);
  }
}

template <class Kv, int kQ>
void ValueTile(const TileOf<Kv>& tile, Queries& s, int32_t first, int32_t visible) {
  int32_t d = 0;
  for (; d + 2 * kLanes <= s.dim; d += 2 * kLanes) {
    ValueVectors<Kv, kQ, 2, true>(tile, s, first, visible, d);
  }
  for (; d + kLanes <= s.dim; d += kLanes) {
    ValueVectors<Kv, kQ, 1, true>(tile, s, first, visible, d);
  }
  if (d < s.dim) ValueVectors<Kv, kQ, 1, false>(tile, s, first, visible, d);
}

// Queries begin .. end - 1, which all see `visible` > 0 positions of the tile.
struct Run {
  int32_t begin;
  int32_t end;
  int32_t visible;
};

// One phase after the other, so that the latencies of the softmax of many queries overlap.
template <class Kv>
void TileForQueries(const TileOf<Kv>& tile, const SoonTile& soon, Queries& s, const Run& run) {
  const auto [begin, end, visible] = run;
  constexpr int kQ = Kv::kQueries;
  const int32_t whole = begin + (end - begin) / kQ * kQ;
  if (whole > begin) {
    ScoreTile<Kv, kQ, true>(tile, soon, s, begin, visible);
  } else {
    ScoreTile<Kv, 1, true>(tile, soon, s, begin, visible);
  }
  for (int32_t q = begin + kQ; q < whole; q += kQ) {
    ScoreTile<Kv, kQ, false>(tile, soon, s, q, visible);
  }
  for (int32_t q = whole > begin ? whole : begin + 1; q < end; ++q) {
    ScoreTile<Kv, 1, false>(tile, soon, s, q, visible);
  }
  SoftmaxTile<Kv::kPair == 2>(s, begin, end, visible);
  for (int32_t q = begin; q < whole; q += kQ) ValueTile<Kv, kQ>(tile, s, q, visible);
  for (int32_t q = whole; q < end; ++q) ValueTile<Kv, 1>(tile, s, q, visible);
}

void BeginSpan(Queries& s) {
  for (int32_t q = 0; q < s.count; ++q) {
    s.max[q] = First(FromBits(ISet(static_cast<int32_t>(0xff800000u))));
    s.sum[q] = 0.0f;
  }
  std::memset(s.acc, 0, static_cast<size_t>(s.count * s.stride) * sizeof(float));
}

// A query's result over some positions; acc [stride].
struct Partial {
  float* max;
  float* sum;
  float* acc;
};

Partial CurrentOf(Queries& s, int32_t q) { return {s.max + q, s.sum + q, s.acc + q * s.stride}; }
Partial TotalOf(Queries& s, int32_t q) {
  return {s.total_max + q, s.total_sum + q, s.total + q * s.stride};
}
// In memory, as AttentionPartialFloats says.
Partial StoredPartial(float* at, int32_t stride) { return {at + stride, at + stride + 1, at}; }

void CopyPartial(const Partial& from, const Partial& to, int32_t stride) {
  *to.max = *from.max;
  *to.sum = *from.sum;
  std::memcpy(to.acc, from.acc, static_cast<size_t>(stride) * sizeof(float));
}

void MergePartial(const Partial& next, const Partial& total, int32_t stride) {
  const float max = *next.max > *total.max ? *next.max : *total.max;
  const Vec a = Set(ScalarExp(*total.max - max));
  const Vec b = Set(ScalarExp(*next.max - max));
  *total.max = max;
  *total.sum = First(Fma(Set(*next.sum), b, Mul(Set(*total.sum), a)));
  for (int32_t d = 0; d < stride; d += kLanes) {
    Store(total.acc + d, Fma(Load(next.acc + d), b, Mul(Load(total.acc + d), a)));
  }
}

void StoreResult(const Partial& total, float* out, int32_t dim) {
  ForEachVector(dim, [&](int64_t d, int64_t n) {
    StoreFirst(out + d, Div(Load(total.acc + d), Set(*total.sum)), n);
  });
}

// Tiles: StoredTiles or Int8Tiles, where the keys and values come from.
template <class Kv, class Tiles>
class AttentionBlock {
 public:
  // Queries first .. first + count - 1; query i is head i % heads_per_kv of row i / heads_per_kv.
  AttentionBlock(const AttentionArgs& args, int32_t first, int32_t count)
      : args_(args),
        first_(first),
        tiles_(args, args.first_position + (first + count - 1) / args.heads_per_kv) {
    s_.count = count;
    s_.dim = args.kv->head_dim;
    s_.scale = args.scale;
    s_.stride = (s_.dim + 15) / 16 * 16;
    for (int32_t q = 0; q < count; ++q) {
      for (int32_t d = 0; d < s_.stride; d += kLanes) {
        const Vec x = LoadFirst(args.q + Offset(q) + d, s_.dim - d);
        Store(s_.query + q * s_.stride + d, Kv::kPair == 2 ? RoundToBf16(x) : x);
        if constexpr (Kv::kBf16Queries) {
          StoreLowHalves(s_.query_bf16 + q * s_.stride + d, Bf16Bits(x));
        }
      }
    }
  }

  void Run() {
    const Position end = RowPosition(s_.count - 1) + 1;
    for (Position span = 0; span < end; span += kAttentionSpan) {
      RunSpan(span);
      for (int32_t q = 0; q < s_.count; ++q) {
        if (RowPosition(q) < span) continue;
        if (span == 0) {
          CopyPartial(CurrentOf(s_, q), TotalOf(s_, q), s_.stride);
        } else {
          MergePartial(CurrentOf(s_, q), TotalOf(s_, q), s_.stride);
        }
      }
    }
    for (int32_t q = 0; q < s_.count; ++q) {
      StoreResult(TotalOf(s_, q), args_.out + Offset(q), s_.dim);
    }
  }

  // The partials of one span, those of the call's first query first.
  void RunOneSpan(Position span, float* partials) {
    if (RowPosition(s_.count - 1) < span) return;
    RunSpan(span);
    for (int32_t q = 0; q < s_.count; ++q) {
      if (RowPosition(q) < span) continue;
      float* const to = partials + (first_ + q) * AttentionPartialFloats(s_.dim);
      CopyPartial(CurrentOf(s_, q), StoredPartial(to, s_.stride), s_.stride);
    }
  }

 private:
  Position RowPosition(int32_t q) const {
    return args_.first_position + (first_ + q) / args_.heads_per_kv;
  }
  int64_t Offset(int32_t q) const {
    return (first_ + q) / args_.heads_per_kv * args_.q_row_stride +
           int64_t{(first_ + q) % args_.heads_per_kv} * s_.dim;
  }
  int32_t Visible(int32_t q, Position begin) const {
    const Position seen = RowPosition(q) + 1 - begin;
    return seen < 0 ? 0 : seen > kAttentionTile ? kAttentionTile : seen;
  }

  void RunSpan(Position span) {
    const Position end = RowPosition(s_.count - 1) + 1;
    const Position span_end = end - span < kAttentionSpan ? end : span + kAttentionSpan;
    BeginSpan(s_);
    for (Position begin = span; begin < span_end; begin += kAttentionTile) Tile(begin);
  }

  void Tile(Position begin) {
    const TileOf<Kv> tile = tiles_.At(begin);
    const SoonTile soon = tiles_.SoonAt(begin + kAttentionTile);
    for (int32_t q = 0; q < s_.count;) {
      const int32_t visible = Visible(q, begin);
      int32_t end = q + 1;  // of the queries that see as much
      while (end < s_.count && Visible(end, begin) == visible) ++end;
      if (visible > 0) TileForQueries<Kv>(tile, soon, s_, {q, end, visible});
      q = end;
    }
  }

  const AttentionArgs& args_;
  const int32_t first_;
  Tiles tiles_;
  Queries s_;
};

// What of a call is computed: all of it, or one span.
struct Part {
  Position span = 0;
  float* partials = nullptr;  // null: all
};

template <class Kv, class Tiles = StoredTiles<typename Kv::Element>>
void AttentionOf(const AttentionArgs& args, const Part& part) {
  const int32_t stride = (args.kv->head_dim + 15) / 16 * 16;
  const int32_t fit = kQueryFloats / stride;
  const int32_t block = fit < kQueriesMax ? fit : kQueriesMax;
  const int32_t queries = args.num_rows * args.heads_per_kv;
  for (int32_t first = 0; first < queries; first += block) {
    const int32_t count = queries - first < block ? queries - first : block;
    AttentionBlock<Kv, Tiles> attention(args, first, count);
    if (part.partials == nullptr) {
      attention.Run();
    } else {
      attention.RunOneSpan(part.span, part.partials);
    }
  }
}

void AttentionPart(const AttentionArgs& args, const Part& part) {
  switch (args.kv->dtype) {
    case DType::kBF16:
      return AttentionOf<Bf16Kv>(args, part);
    case DType::kF16:
      return AttentionOf<F16Kv>(args, part);
    case DType::kI8:
      return AttentionOf<Bf16Kv, Int8Tiles>(args, part);
    default:
      return AttentionOf<F32Kv>(args, part);
  }
}

void Attention(const AttentionArgs& args) {
  if (args.kv->head_dim > kHeadDimMax) return RefOps().attention(args);
  AttentionPart(args, {});
}

void AttentionSpan(const AttentionArgs& args, Position span, float* partials) {
  if (args.kv->head_dim > kHeadDimMax) return RefOps().attention_span(args, span, partials);
  AttentionPart(args, {span, partials});
}

void MergeSpans(const AttentionArgs& args, float* partials) {
  const int32_t dim = args.kv->head_dim;
  if (dim > kHeadDimMax) return RefOps().merge_spans(args, partials);
  const int32_t stride = (dim + 15) / 16 * 16;
  const int64_t floats = AttentionPartialFloats(dim);
  const int32_t queries = args.num_rows * args.heads_per_kv;
  for (int32_t q = 0; q < queries; ++q) {
    const int32_t row = q / args.heads_per_kv;
    const Partial total = StoredPartial(partials + q * floats, stride);
    float* next = total.acc;
    for (Position span = kAttentionSpan; span <= args.first_position + row;
         span += kAttentionSpan) {
      next += queries * floats;
      MergePartial(StoredPartial(next, stride), total, stride);
    }
    float* const out = args.out + row * args.q_row_stride + int64_t{q % args.heads_per_kv} * dim;
    StoreResult(total, out, dim);
  }
}

}  // namespace
}  // namespace gyrator

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/exp.h"
#include "kernels/kv_element.h"
#include "kernels/ref/kernels_ref.h"

namespace gyrator {
namespace {

struct Partial {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0.0f;
  std::vector<float> acc;  // [head_dim]
};

float Round(float x) { return BF16ToF32(F32ToBF16(x)); }

float ChainDot(int64_t count, const float* a, const float* b, int64_t b_stride) {
  float acc = 0.0f;
  for (int64_t i = 0; i < count; ++i) acc = std::fma(a[i], b[i * b_stride], acc);
  return acc;
}

// One query head of one row.
class Head {
 public:
  Head(const AttentionArgs& args, const float* query)
      : args_(args), dtype_(args.kv->dtype), dim_(args.kv->head_dim), query_(query, query + dim_) {
    if (KvInPairs(dtype_)) std::transform(query_.begin(), query_.end(), query_.begin(), Round);
  }

  // The positions [begin, end) of one span.
  Partial Span(Position begin, Position end) {
    Partial partial;
    partial.acc.assign(static_cast<size_t>(dim_), 0.0f);
    for (Position p = begin; p < end; p += kAttentionTile) {
      Tile(p, std::min(kAttentionTile, end - p), p == begin, partial);
    }
    return partial;
  }

 private:
  float Dot(int64_t count, const float* a, const float* b, int64_t b_stride) const {
    return KvInPairs(dtype_) ? RefDotTiles(count, a, 1, b, b_stride)
                             : ChainDot(count, a, b, b_stride);
  }

  // Widens K or V of `count` positions from `begin` to rows [position][dim].
  std::vector<float> Gather(Position begin, int32_t count, bool values) const {
    std::vector<float> rows;
    for (Position p = begin; p < begin + count; ++p) {
      const uint32_t block = args_.table.blocks[p / kBlockPositions];
      const int32_t slot = p % kBlockPositions;
      std::byte* base = values ? args_.kv->values(args_.layer, block, args_.kv_head)
                               : args_.kv->keys(args_.layer, block, args_.kv_head);
      for (int32_t d = 0; d < dim_; ++d) {
        const int64_t index =
            values ? ValueIndex(dtype_, d, slot, dim_) : KeyIndex(dtype_, d, slot);
        const float scale =
            dtype_ == DType::kI8 ? args_.kv->scales(base)[ScaleIndex(d / kKvGroup, slot)] : 0.0f;
        rows.push_back(KvElement(dtype_, base, index, scale));
      }
    }
    return rows;
  }

  void Tile(Position begin, int32_t count, bool first, Partial& partial) const {
    const std::vector<float> keys = Gather(begin, count, false);
    const std::vector<float> values = Gather(begin, count, true);
    float scores[kAttentionTile];
    float max = partial.max;
    for (int32_t p = 0; p < count; ++p) {
      scores[p] = Dot(dim_, query_.data(), &keys[static_cast<size_t>(p * dim_)], 1) * args_.scale;
      max = scores[p] > max ? scores[p] : max;
    }
    const float decay = first ? 0.0f : Exp(partial.max - max);
    float lanes[16] = {};
    float weights[kAttentionTile];
    for (int32_t p = 0; p < count; ++p) {
      const float e = Exp(scores[p] - max);
      lanes[p % 16] += e;
      weights[p] = KvInPairs(dtype_) ? Round(e) : e;
    }
    partial.sum = std::fma(partial.sum, decay, RefFoldLanes(lanes));
    for (int32_t d = 0; d < dim_; ++d) {
      float& acc = partial.acc[static_cast<size_t>(d)];
      acc = acc * decay + Dot(count, weights, &values[static_cast<size_t>(d)], dim_);
    }
    partial.max = max;
  }

  const AttentionArgs& args_;
  const DType dtype_;
  const int32_t dim_;
  std::vector<float> query_;
};

void Merge(const Partial& next, Partial& total) {
  const float max = next.max > total.max ? next.max : total.max;
  const float a = Exp(total.max - max);
  const float b = Exp(next.max - max);
  total.max = max;
  total.sum = std::fma(next.sum, b, total.sum * a);
  for (size_t d = 0; d < total.acc.size(); ++d) {
    total.acc[d] = std::fma(next.acc[d], b, total.acc[d] * a);
  }
}

// body(row, offset of its query head in q and out, index of the query).
template <class Body>
void ForEachQuery(const AttentionArgs& args, const Body& body) {
  for (int32_t row = 0; row < args.num_rows; ++row) {
    for (int32_t h = 0; h < args.heads_per_kv; ++h) {
      body(row, row * args.q_row_stride + int64_t{h} * args.kv->head_dim,
           int64_t{row} * args.heads_per_kv + h);
    }
  }
}

}  // namespace

void RefAttention(const AttentionArgs& args) {
  const int64_t floats = AttentionPartialFloats(args.kv->head_dim);
  const Position end = args.first_position + args.num_rows;
  const Position spans = (end + kAttentionSpan - 1) / kAttentionSpan;
  const int64_t span_floats = int64_t{args.num_rows} * args.heads_per_kv * floats;
  std::vector<float> partials(static_cast<size_t>(spans * span_floats));
  for (Position i = 0; i < spans; ++i) {
    RefAttentionSpan(args, i * kAttentionSpan, partials.data() + i * span_floats);
  }
  RefMergeSpans(args, partials.data());
}

void RefAttentionSpan(const AttentionArgs& args, Position span, float* partials) {
  const int64_t floats = AttentionPartialFloats(args.kv->head_dim);
  ForEachQuery(args, [&](int32_t row, int64_t offset, int64_t query) {
    const Position end = args.first_position + row + 1;
    if (end <= span) return;
    const Partial partial =
        Head(args, args.q + offset).Span(span, std::min(end, span + kAttentionSpan));
    float* const to = partials + query * floats;
    std::copy(partial.acc.begin(), partial.acc.end(), to);
    to[floats - 16] = partial.max;
    to[floats - 15] = partial.sum;
  });
}

void RefMergeSpans(const AttentionArgs& args, float* partials) {
  const int32_t dim = args.kv->head_dim;
  const int64_t floats = AttentionPartialFloats(dim);
  const int64_t queries = int64_t{args.num_rows} * args.heads_per_kv;
  ForEachQuery(args, [&](int32_t row, int64_t offset, int64_t query) {
    const Position end = args.first_position + row + 1;
    Partial total;
    for (Position span = 0; span < end; span += kAttentionSpan) {
      const float* const from = partials + (span / kAttentionSpan * queries + query) * floats;
      const Partial next = {from[floats - 16], from[floats - 15], {from, from + dim}};
      if (span == 0) {
        total = next;
      } else {
        Merge(next, total);
      }
    }
    for (int32_t d = 0; d < dim; ++d) {
      args.out[offset + d] = total.acc[static_cast<size_t>(d)] / total.sum;
    }
  });
}

}  // namespace gyrator

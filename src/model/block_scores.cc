#include "model/block_scores.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/exp.h"
#include "kernels/kv_element.h"
#include "kernels/ops.h"

namespace gyrator {

namespace {

constexpr int kLanes = 4;  // what every x86-64 has
constexpr int kParts = kBlockPositions / kLanes;
constexpr float kNone = -std::numeric_limits<float>::infinity();

using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));
using IntLanes = int32_t __attribute__((vector_size(kLanes * sizeof(int32_t))));

Lanes Load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof(lanes));
  return lanes;
}

// Exp of kernels/exp.h with products that are rounded, for not every machine has fma. REQUIRES x <=
// 0, or NaN, which stays.
Lanes ExpOfNegative(Lanes x) {
  const Lanes shifted = x * kLog2E + kRoundMagic;
  const Lanes n = shifted - kRoundMagic;
  const Lanes r = (x - n * kLn2High) - n * kLn2Low;
  Lanes p = r * kExpPoly[0] + kExpPoly[1];
  for (int i = 2; i < 6; ++i) p = p * r + kExpPoly[i];
  const Lanes y = (p * (r * r) + r) + 1.0f;
  const IntLanes bits = std::bit_cast<IntLanes>(y) + (std::bit_cast<IntLanes>(shifted) << 23);
  const Lanes result = x < kExpMin ? Lanes{} : std::bit_cast<Lanes>(bits);
  return x == x ? result : x;
}

float ExpOfNegative(float x) { return ExpOfNegative(Lanes{x, x, x, x})[0]; }

// products[i][position] of q[i] and the keys [dim, 16], each a chain over the dims from zero.
void MultiplyPair(const float* const (&q)[2], const float* keys, int32_t dim,
                  Lanes (&products)[2][kParts]) {
  Lanes a[kParts] = {}, b[kParts] = {};
  for (int32_t d = 0; d < dim; ++d) {
    const Lanes first = Lanes{} + q[0][d], second = Lanes{} + q[1][d];
    for (int part = 0; part < kParts; ++part) {
      const Lanes key = Load(keys + d * kBlockPositions + part * kLanes);
      a[part] = a[part] + first * key;
      b[part] = b[part] + second * key;
    }
  }
  for (int part = 0; part < kParts; ++part) {
    products[0][part] = a[part];
    products[1][part] = b[part];
  }
}

struct BlockPart {
  float peak = kNone;
  float weight = 0;  // sum of exp(product - peak)
};

// Of the first `count` positions.
BlockPart SoftmaxOf(const Lanes (&products)[kParts], float scale, int32_t count) {
  float s[kBlockPositions];
  for (int part = 0; part < kParts; ++part) {
    const Lanes scaled = products[part] * scale;
    std::memcpy(s + part * kLanes, &scaled, sizeof(scaled));
  }
  std::fill(s + count, s + kBlockPositions, kNone);  // whatever lies there
  Lanes most = Load(s);
  for (int part = 1; part < kParts; ++part) {
    const Lanes other = Load(s + part * kLanes);
    most = other > most ? other : most;
  }
  const float peak = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
  Lanes sum = {};
  for (int part = 0; part < kParts; ++part) {
    sum = sum + ExpOfNegative(Load(s + part * kLanes) - peak);
  }
  return {.peak = peak, .weight = (sum[0] + sum[1]) + (sum[2] + sum[3])};
}

// One block and head of K to [dim, 16] floats.
void WidenKeys(const PagedKv& kv, std::byte* head, float* keys) {
  for (int32_t d = 0; d < kv.head_dim; ++d) {
    for (int32_t slot = 0; slot < kBlockPositions; ++slot) {
      const float scale =
          kv.dtype == DType::kI8 ? kv.scales(head)[ScaleIndex(d / kKvGroup, slot)] : 0.0f;
      keys[d * kBlockPositions + slot] =
          KvElement(kv.dtype, head, KeyIndex(kv.dtype, d, slot), scale);
    }
  }
}

}  // namespace

BlockScores::BlockScores(const PagedKv& kv, int32_t num_heads, const ScoredRows& rows,
                         ThreadPool* threads)
    : kv_(kv),
      num_heads_(num_heads),
      rows_(rows),
      threads_(*threads),
      group_(num_heads / kv.num_kv_heads),
      num_queries_(rows.num_rows * group_),
      num_blocks_((rows.first_position + rows.num_rows + kBlockPositions - 1) / kBlockPositions),
      scale_(1.0f / std::sqrt(static_cast<float>(kv.head_dim))) {
  GYRATOR_CHECK(rows.num_rows >= 1 && rows.num_rows <= kScoredRowsMax);
  GYRATOR_CHECK(num_blocks_ <= rows.table.num_blocks);
  const auto queries = static_cast<size_t>(num_queries_), blocks = static_cast<size_t>(num_blocks_);
  Scratch scratch;
  scratch.keys.resize(static_cast<size_t>(kv.head_dim) * kBlockPositions);
  scratch.peaks.resize(blocks * queries);
  scratch.weights.resize(blocks * queries);
  scratch.peak.resize(queries);
  scratch.total.resize(queries);
  scratch_.assign(static_cast<size_t>(threads->num_threads()), scratch);
  masses_.resize(static_cast<size_t>(kv.num_kv_heads) * blocks);
  sums_.resize(blocks);
}

void BlockScores::OnQueries(int32_t layer, const float* q, int64_t num_rows) {
  GYRATOR_CHECK(rows_.first_row_of_pass + rows_.num_rows <= num_rows);
  const float* first = q + rows_.first_row_of_pass * num_heads_ * kv_.head_dim;
  const auto body = [&](int64_t begin, int64_t end) {
    const FloatEnvironment environment;
    Scratch* scratch = &scratch_[static_cast<size_t>(ThreadPool::ThisThread())];
    for (int64_t head = begin; head < end; ++head) {
      ScoreHead({.layer = layer, .kv_head = static_cast<int32_t>(head), .q = first}, scratch,
                &masses_[static_cast<size_t>(head * num_blocks_)]);
    }
  };
  threads_.ParallelFor(kv_.num_kv_heads, 1, std::ref(body));
  for (size_t i = 0; i < masses_.size(); ++i) sums_[i % sums_.size()] += masses_[i];
  ++num_layers_;
}

const float* BlockScores::Query(const Head& head, int32_t query) const {
  const int64_t row = query / group_, in_group = query % group_;
  return head.q + (row * num_heads_ + head.kv_head * group_ + in_group) * kv_.head_dim;
}

void BlockScores::ScoreBlock(const Head& head, int32_t block, Scratch* scratch) const {
  WidenKeys(kv_, kv_.keys(head.layer, rows_.table.blocks[block], head.kv_head),
            scratch->keys.data());
  const auto row_of_block = static_cast<size_t>(block) * static_cast<size_t>(num_queries_);
  for (int32_t query = 0; query < num_queries_; query += 2) {
    const int32_t last = std::min(query + 1, num_queries_ - 1);
    const float* const q[2] = {Query(head, query), Query(head, last)};
    Lanes products[2][kParts];
    MultiplyPair(q, scratch->keys.data(), kv_.head_dim, products);
    for (int32_t i = query; i <= last; ++i) {
      const int32_t seen = rows_.first_position + i / group_ + 1 - block * kBlockPositions;
      BlockPart part;
      if (seen > 0) part = SoftmaxOf(products[i - query], scale_, std::min(seen, kBlockPositions));
      scratch->peaks[row_of_block + static_cast<size_t>(i)] = part.peak;
      scratch->weights[row_of_block + static_cast<size_t>(i)] = part.weight;
    }
  }
}

void BlockScores::ScoreHead(const Head& head, Scratch* scratch, double* mass) const {
  const auto queries = static_cast<size_t>(num_queries_);
  std::fill(scratch->peak.begin(), scratch->peak.end(), kNone);
  std::fill(scratch->total.begin(), scratch->total.end(), 0.0);
  for (int32_t block = 0; block < num_blocks_; ++block) {
    ScoreBlock(head, block, scratch);
    const float* peaks = &scratch->peaks[static_cast<size_t>(block) * queries];
    for (size_t i = 0; i < queries; ++i) scratch->peak[i] = std::max(scratch->peak[i], peaks[i]);
  }
  for (size_t at = 0; at < scratch->weights.size(); ++at) {
    const size_t i = at % queries;
    scratch->weights[at] *= ExpOfNegative(scratch->peaks[at] - scratch->peak[i]);
    scratch->total[i] += double{scratch->weights[at]};
  }
  for (size_t block = 0; block < static_cast<size_t>(num_blocks_); ++block) {
    mass[block] = 0;
    for (size_t i = 0; i < queries; ++i) {
      mass[block] += double{scratch->weights[block * queries + i]} / scratch->total[i];
    }
  }
}

std::vector<float> BlockScores::Scores() const {
  GYRATOR_CHECK(num_layers_ > 0);
  const double terms = static_cast<double>(num_layers_) * num_heads_ * rows_.num_rows;
  std::vector<float> scores;
  for (const double sum : sums_) scores.push_back(static_cast<float>(sum / terms));
  return scores;
}

}  // namespace gyrator

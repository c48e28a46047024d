// Matrix products in int8, a group of 32 at a time.
//
// One or two rows: lanes are columns, their dots summed across by shuffles. More: lanes are rows,
// repacked so that a vector holds one 32-bit step of kLanes of them, and weights are broadcast: no
// sum crosses lanes, and weights are read in the order in which they lie.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kInt8StreamedRows = 2;  // up to so many, packing does not pay
constexpr int64_t kInt8Rows = kLanes;     // of a tile
constexpr int64_t kInt8Columns = 8;       // likewise
constexpr int64_t kInt8BlockRows = 64;    // multiple of kInt8Rows
constexpr int64_t kInt8BlockGroups = 32;  // of 32 along k
static_assert(kInt8BlockRows % kInt8Rows == 0);

GYRATOR_SIMD int32_t SumGroup(const int8_t* q) {
  int32_t sum = 0;
  for (int i = 0; i < 32; ++i) sum += q[i];
  return sum;
}

// f16 scales of kLanes blocks that lie `stride` apart; lanes from `count` on repeat the last.
GYRATOR_SIMD Vec LoadScales(const BlockQ8_0* first, int64_t stride, int64_t count) {
  uint16_t scales[kLanes];
  for (int64_t c = 0; c < kLanes; ++c) {
    scales[c] = first[(c < count ? c : count - 1) * stride].scale;
  }
  return LoadF16(scales);
}

// One row by `count` <= kLanes columns; w at the first of them.
template <bool kWhole>
GYRATOR_SIMD Vec DotColumns(const int8_t* q, const float* x_scale, const BlockQ8_0* w,
                            int64_t groups, int64_t count) {
  Vec acc = Zero();
  for (int64_t g = 0; g < groups; ++g) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + g * 32));
    const int32_t x_sum = Int8Format::kNeedsSum ? SumGroup(q + g * 32) : 0;
    __m256i dots[kLanes];
    for (int64_t c = 0; c < kLanes; ++c) {
      const BlockQ8_0& block = w[(kWhole || c < count ? c : count - 1) * groups + g];
      dots[c] = Int8Format::Dot(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.q)), x);
    }
    const Vec dot = ToFloat(IAdd(SumEach(dots), Int8Format::DotStart(x_sum)));
    const Vec scale = Mul(LoadScales(w + g, groups, kWhole ? kLanes : count), Set(x_scale[g]));
    acc = Fma(dot, scale, acc);
  }
  return acc;
}

void MatMulInt8Streamed(const QuantizedRows& x, const BlockQ8_0* w, float* y,
                        const MatMulShape& shape) {
  const int64_t groups = shape.k / 32;
  for (int64_t n = shape.column_begin; n < shape.column_end; n += kLanes) {
    const int64_t count = shape.column_end - n < kLanes ? shape.column_end - n : kLanes;
    for (int64_t m = 0; m < shape.num_rows; ++m) {
      const int8_t* q = x.q + m * shape.k;
      const float* scale = x.scale + m * groups;
      float* to = y + m * shape.y_stride + n;
      if (count == kLanes) {
        Store(to, DotColumns<true>(q, scale, w + n * groups, groups, count));
      } else {
        StoreFirst(to, DotColumns<false>(q, scale, w + n * groups, groups, count), count);
      }
    }
  }
}

// `rows` <= kInt8Rows rows of activations over the groups of a block; lanes from `rows` on repeat
// the last row (their sums are never read).
struct Int8RowTile {
  alignas(64) uint32_t steps[kInt8BlockGroups][Int8Format::kSteps][kInt8Rows];
  alignas(64) int32_t starts[kInt8BlockGroups][kInt8Rows];
  alignas(64) float scales[kInt8BlockGroups][kInt8Rows];

  // x at the first group of the first row; k elements between rows.
  void Pack(const QuantizedRows& x, int64_t k, int64_t rows, int64_t groups) {
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t first = 0; first < kInt8Rows; first += 8) {
        __m256i some[8];
        for (int64_t i = 0; i < 8; ++i) {
          const int64_t row = first + i < rows ? first + i : rows - 1;
          const int8_t* from = x.q + row * k + g * 32;
          some[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
          scales[g][first + i] = x.scale[row * (k / 32) + g];
        }
        Transpose8x8(some);
        for (int i = 0; i < 8; ++i) {
          Int8Format::PackFours(some[i], i, &steps[g][0][first], kInt8Rows);
        }
      }
      IStore(starts[g], Int8Format::Start(steps[g][0], kInt8Rows));
    }
  }
};

// Up to kInt8Columns columns of weights over the groups of a block; the others repeat the last.
struct Int8ColumnTile {
  alignas(64) uint32_t steps[kInt8BlockGroups][kInt8Columns][Int8Format::kSteps];
  alignas(64) float scales[kInt8BlockGroups][kInt8Columns];

  void Pack(const Int8Weights& w, int64_t groups) {
    alignas(32) uint16_t halves[kInt8BlockGroups][kInt8Columns];
    for (int64_t c = 0; c < kInt8Columns; ++c) {
      const BlockQ8_0* column = w.at + (c < w.count ? c : w.count - 1) * w.stride;
      for (int64_t g = 0; g < groups; ++g) {
        Int8Format::PackWeights(column[g].q, steps[g][c]);
        halves[g][c] = column[g].scale;
      }
    }
    for (int64_t at = 0; at < groups * kInt8Columns; at += kLanes) {
      Store(&scales[0][0] + at, LoadF16(&halves[0][0] + at));
    }
  }
};

// Half of the columns' lines of group g, which are two groups apart.
GYRATOR_SIMD void PrefetchInt8(const Int8Weights& w, int64_t g) {
  for (int64_t c = g % 2; c < w.count; c += 2) Prefetch(w.at + c * w.stride + g);
}

using Int8Sums = float[kInt8Columns][kInt8Rows];

// sums += x times w, of group g.
GYRATOR_SIMD void MultiplyInt8Group(const Int8RowTile& x, const Int8ColumnTile& w, int64_t g,
                                    Int8Sums& sums) {
  IVec dots[kInt8Columns];
  for (int c = 0; c < kInt8Columns; ++c) dots[c] = ILoad(x.starts[g]);
#pragma GCC unroll 4
  for (int s = 0; s < Int8Format::kSteps; ++s) {
    const IVec rows = ILoad(x.steps[g][s]);
#pragma GCC unroll 8
    for (int c = 0; c < kInt8Columns; ++c) {
      dots[c] = Int8Format::Step(dots[c], ISet(static_cast<int32_t>(w.steps[g][c][s])), rows);
    }
  }
  const Vec x_scale = Load(x.scales[g]);
#pragma GCC unroll 8
  for (int c = 0; c < kInt8Columns; ++c) {
    const Vec scale = Mul(Set(w.scales[g][c]), x_scale);
    Store(sums[c], Fma(ToFloat(dots[c]), scale, Load(sums[c])));
  }
}

// y [rows][columns], rows `stride` apart, to sums.
void LoadInt8Sums(const float* y, int64_t stride, int64_t rows, int64_t columns, Int8Sums& sums) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) sums[c][r] = y[r * stride + c];
  }
}

void StoreInt8Sums(const Int8Sums& sums, int64_t rows, int64_t columns, float* y, int64_t stride) {
  for (int64_t first = 0; first < rows; first += 8) {
    __m256i eight[8];
    for (int64_t c = 0; c < kInt8Columns; ++c) {
      eight[c] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(&sums[c][first]));
    }
    Transpose8x8(eight);
    for (int64_t i = 0; i < 8 && first + i < rows; ++i) {
      std::memcpy(y + (first + i) * stride, &eight[i],
                  static_cast<size_t>(columns) * sizeof(float));
    }
  }
}

struct Int8Block {
  Int8RowTile rows[kInt8BlockRows / kInt8Rows];
  Int8ColumnTile columns;

  // y of the packed rows by `num_columns` packed columns. `soon` are those that come next.
  void Multiply(const Int8Part& part, int64_t num_columns, const Int8Weights& soon) const {
    for (int64_t r = 0; r < part.rows; r += kInt8Rows) {
      const int64_t some = part.rows - r < kInt8Rows ? part.rows - r : kInt8Rows;
      float* y = part.y + r * part.stride;
      alignas(64) Int8Sums sums = {};
      if (!part.first) LoadInt8Sums(y, part.stride, some, num_columns, sums);
      for (int64_t g = 0; g < part.groups; ++g) {
        if (r == 0) PrefetchInt8(soon, g);
        MultiplyInt8Group(rows[r / kInt8Rows], columns, g, sums);
      }
      StoreInt8Sums(sums, some, num_columns, y, part.stride);
    }
  }
};

// All columns by packed rows; `g` is the first group of their block.
void MultiplyInt8Rows(Int8Block& block, const BlockQ8_0* w, int64_t g, Int8Part part,
                      const MatMulShape& shape) {
  const int64_t all_groups = shape.k / 32;
  const auto columns = [&](int64_t n) GYRATOR_SIMD_LAMBDA {
    const int64_t left = shape.column_end - n;
    return Int8Weights{w + n * all_groups + g, all_groups,
                       left < kInt8Columns ? left : kInt8Columns};
  };
  float* const y = part.y;
  for (int64_t n = shape.column_begin; n < shape.column_end; n += kInt8Columns) {
    const Int8Weights now = columns(n);
    block.columns.Pack(now, part.groups);
    part.y = y + n;
    block.Multiply(part, now.count, columns(n + kInt8Columns));
  }
}

void MatMulInt8(const QuantizedRows& x, const BlockQ8_0* w, float* y, const MatMulShape& shape) {
  if (shape.num_rows <= kInt8StreamedRows) return MatMulInt8Streamed(x, w, y, shape);
  const int64_t all_groups = shape.k / 32;
  Int8Block block;  // not initialised
  for (int64_t m = 0; m < shape.num_rows; m += kInt8BlockRows) {
    const int64_t left = shape.num_rows - m;
    const int64_t rows = left < kInt8BlockRows ? left : kInt8BlockRows;
    for (int64_t g = 0; g < all_groups; g += kInt8BlockGroups) {
      const int64_t groups = all_groups - g < kInt8BlockGroups ? all_groups - g : kInt8BlockGroups;
      for (int64_t r = 0; r < rows; r += kInt8Rows) {
        block.rows[r / kInt8Rows].Pack(
            {x.q + (m + r) * shape.k + g * 32, x.scale + (m + r) * all_groups + g}, shape.k,
            rows - r < kInt8Rows ? rows - r : kInt8Rows, groups);
      }
      MultiplyInt8Rows(block, w, g,
                       {.rows = rows,
                        .groups = groups,
                        .first = g == 0,
                        .y = y + m * shape.y_stride,
                        .stride = shape.y_stride},
                       shape);
    }
  }
}

}  // namespace
}  // namespace gyrator

// Matrix products in int8: lanes are output columns, a group of 32 at a time.
//
// Few rows: the dots of kLanes columns, summed across by shuffles. Many rows: weights repacked into
// panels in which a vector holds one 32-bit step of every column, so that no sum crosses lanes.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kInt8BlockRows = 128;   // multiple of kInt8Rows
constexpr int64_t kInt8BlockGroups = 16;  // of 32 along k
constexpr int64_t kInt8Columns = int64_t{kInt8Vecs} * kLanes;
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
    const Vec dot = ToFloat(IAdd(SumEach(dots), Int8Format::Start(x_sum)));
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

// `groups` groups of kInt8Columns columns, and the same of kInt8BlockRows rows of activations.
class Int8Block {
 public:
  // Rows up to the next multiple of kInt8Rows repeat the last one (their sums are never read).
  void PackActivations(const int8_t* q, int64_t k, int64_t rows, int64_t groups) {
    for (int64_t r = 0; r < (rows + kInt8Rows - 1) / kInt8Rows * kInt8Rows; ++r) {
      const int8_t* row = q + (r < rows ? r : rows - 1) * k;
      for (int64_t g = 0; g < groups; ++g) {
        uint32_t steps[Int8Format::kSteps];
        Int8Format::PackActivations(row + g * 32, steps);
        uint32_t* to = Steps(r, g, groups) + r % kInt8Rows;
        for (int s = 0; s < Int8Format::kSteps; ++s) to[s * kInt8Rows] = steps[s];
        sums_[r * groups + g] = Int8Format::kNeedsSum ? SumGroup(row + g * 32) : 0;
      }
    }
  }

  // w at the first group of the first of `columns` columns that lie `stride` blocks apart; the
  // panel's other columns repeat the last.
  void PackWeights(const BlockQ8_0* w, int64_t stride, int64_t columns, int64_t groups) {
    for (int64_t g = 0; g < groups; ++g) {
      uint32_t* panel = panel_ + g * Int8Format::kSteps * kInt8Columns;
      for (int64_t c = 0; c < kInt8Columns; c += 8) {
        __m256i rows[8];
        for (int64_t i = 0; i < 8; ++i) {
          const BlockQ8_0& block = w[(c + i < columns ? c + i : columns - 1) * stride + g];
          rows[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.q));
        }
        Transpose8x8(rows);
        for (int i = 0; i < 8; ++i) Int8Format::PackWeights(rows[i], i, panel + c, kInt8Columns);
      }
      for (int v = 0; v < kInt8Vecs; ++v) {
        const int64_t left = columns - v * kLanes;
        Store(scales_ + g * kInt8Columns + v * kLanes,
              left > 0 ? LoadScales(w + v * kLanes * stride + g, stride, left) : Zero());
      }
    }
  }

  // acc [kInt8Rows][kInt8Columns] += rows r .. r + kInt8Rows - 1 times the panel; x_scales: a
  // pointer to the group scales of each row.
  GYRATOR_SIMD void MultiplyTile(int64_t r, int64_t groups,
                                 const float* const (&x_scales)[kInt8Rows], float* acc) {
    for (int64_t g = 0; g < groups; ++g) {
      const uint32_t* panel = panel_ + g * Int8Format::kSteps * kInt8Columns;
      const uint32_t* steps = Steps(r, g, groups);
      IVec dots[kInt8Rows][kInt8Vecs];
      for (int i = 0; i < kInt8Rows; ++i) {
        const IVec start = Int8Format::Start(sums_[(r + i) * groups + g]);
        for (int v = 0; v < kInt8Vecs; ++v) dots[i][v] = start;
      }
#pragma GCC unroll 8
      for (int s = 0; s < Int8Format::kSteps; ++s) {
        IVec w[kInt8Vecs];
        for (int v = 0; v < kInt8Vecs; ++v) w[v] = ILoad(panel + s * kInt8Columns + v * kLanes);
        for (int i = 0; i < kInt8Rows; ++i) {
          const IVec x = ISet(static_cast<int32_t>(steps[s * kInt8Rows + i]));
          for (int v = 0; v < kInt8Vecs; ++v) dots[i][v] = Int8Format::Step(dots[i][v], w[v], x);
        }
      }
      for (int v = 0; v < kInt8Vecs; ++v) {
        const Vec w_scale = Load(scales_ + g * kInt8Columns + v * kLanes);
        for (int i = 0; i < kInt8Rows; ++i) {
          float* to = acc + i * kInt8Columns + v * kLanes;
          Store(to, Fma(ToFloat(dots[i][v]), Mul(w_scale, Set(x_scales[i][g])), Load(to)));
        }
      }
    }
  }

 private:
  // [row / kInt8Rows][group][step][row % kInt8Rows]
  uint32_t* Steps(int64_t row, int64_t group, int64_t groups) {
    return steps_ + (row / kInt8Rows * groups + group) * Int8Format::kSteps * kInt8Rows;
  }

  alignas(64) uint32_t steps_[kInt8BlockRows * kInt8BlockGroups * Int8Format::kSteps];
  alignas(64) uint32_t panel_[kInt8BlockGroups * Int8Format::kSteps * kInt8Columns];
  alignas(64) float scales_[kInt8BlockGroups * kInt8Columns];
  int32_t sums_[kInt8BlockRows * kInt8BlockGroups];
};

// What of y a block's rows times one panel make.
struct Int8Part {
  int64_t rows, groups, columns;
  bool first;  // y is written, not added to
};

void MultiplyPanel(Int8Block& block, const float* x_scale, float* y, const MatMulShape& shape,
                   const Int8Part& part) {
  const auto [rows, groups, columns, first] = part;
  for (int64_t r = 0; r < rows; r += kInt8Rows) {
    alignas(64) float acc[kInt8Rows * kInt8Columns];
    const int64_t valid = rows - r < kInt8Rows ? rows - r : kInt8Rows;
    const float* x_scales[kInt8Rows];
    for (int64_t i = 0; i < kInt8Rows; ++i) {
      x_scales[i] = x_scale + (r + (i < valid ? i : valid - 1)) * (shape.k / 32);
      for (int64_t c = 0; c < kInt8Columns; c += kLanes) {
        const bool zero = first || i >= valid || c >= columns;
        Store(acc + i * kInt8Columns + c,
              zero ? Zero() : LoadFirst(y + (r + i) * shape.y_stride + c, columns - c));
      }
    }
    block.MultiplyTile(r, groups, x_scales, acc);
    for (int64_t i = 0; i < valid; ++i) {
      for (int64_t c = 0; c < columns; c += kLanes) {
        const Vec sums = Load(acc + i * kInt8Columns + c);
        StoreFirst(y + (r + i) * shape.y_stride + c, sums, columns - c);
      }
    }
  }
}

void MatMulInt8(const QuantizedRows& x, const BlockQ8_0* w, float* y, const MatMulShape& shape) {
  if (shape.num_rows < kPackedRowsMin) return MatMulInt8Streamed(x, w, y, shape);
  const int64_t all_groups = shape.k / 32;
  Int8Block block;  // not initialised
  for (int64_t m = 0; m < shape.num_rows; m += kInt8BlockRows) {
    const int64_t rows = shape.num_rows - m < kInt8BlockRows ? shape.num_rows - m : kInt8BlockRows;
    for (int64_t g = 0; g < all_groups; g += kInt8BlockGroups) {
      const int64_t groups = all_groups - g < kInt8BlockGroups ? all_groups - g : kInt8BlockGroups;
      block.PackActivations(x.q + m * shape.k + g * 32, shape.k, rows, groups);
      for (int64_t n = shape.column_begin; n < shape.column_end; n += kInt8Columns) {
        const int64_t columns =
            shape.column_end - n < kInt8Columns ? shape.column_end - n : kInt8Columns;
        block.PackWeights(w + n * all_groups + g, all_groups, columns, groups);
        MultiplyPanel(block, x.scale + m * all_groups + g, y + m * shape.y_stride + n, shape,
                      {rows, groups, columns, g == 0});
      }
    }
  }
}

}  // namespace
}  // namespace gyrator

// Matrix products in f32 and bf16.dp.v1: lanes run along k, so both operands are read where they
// lie.
//
// Few rows stream the weights, kStreams columns at a time. Many rows go through packed blocks:
// lines of 16 floats, padded with x = +0 and w = -0 (a product of -0 added changes no lane), a
// register tile of kMatMulRows x kMatMulColumns, and lane sums that rest in a buffer between blocks
// of k.
#pragma once

namespace gyrator {
namespace {

constexpr int64_t kPackedRowsMin = 4;  // from so many rows on, packing pays
constexpr int64_t kBlockRows = 48;     // multiple of kMatMulRows
constexpr int64_t kBlockColumns = 48;  // multiple of kMatMulColumns
constexpr int64_t kBlockLines = 64;    // of 16 floats
constexpr int64_t kStreams = 4;
static_assert(kBlockRows % kMatMulRows == 0 && kBlockColumns % kMatMulColumns == 0);

struct F32Format {
  using Element = float;
  static constexpr int kGroup = 16;
  static constexpr int kLines = 1;
  static constexpr Element kMinusZero = -0.0f;
  struct Part {
    Vec v;
  };
  static GYRATOR_SIMD Part LoadPart(const Element* group, int part) {
    return {Load(group + part * kLanes)};
  }
  static GYRATOR_SIMD Vec MultiplyAdd(const Part& x, const Part& w, Vec acc) {
    return Fma(x.v, w.v, acc);
  }
  static GYRATOR_SIMD void StorePart(float* line, int64_t /*next*/, int part, const Part& p) {
    Store(line + part * kLanes, p.v);
  }
  static GYRATOR_SIMD Vec MultiplyAddLine(Vec x, Vec w, Vec acc) { return Fma(x, w, acc); }
};

// The last elements of a row, `pad` behind them.
template <class Format>
struct Tail {
  alignas(64) typename Format::Element values[Format::kGroup];
  GYRATOR_SIMD Tail(const typename Format::Element* from, int64_t count,
                    typename Format::Element pad) {
    for (int64_t i = 0; i < Format::kGroup; ++i) values[i] = i < count ? from[i] : pad;
  }
};

// acc[s] += the group's products of x with columns w[s].
template <class Format, int kColumns>
GYRATOR_SIMD void StreamGroup(const typename Format::Element* x,
                              const typename Format::Element* const (&w)[kColumns], int64_t at,
                              Vec (&acc)[kColumns][kParts]) {
  for (int p = 0; p < kParts; ++p) {
    const auto x_part = Format::LoadPart(x, p);
    for (int s = 0; s < kColumns; ++s) {
      acc[s][p] = Format::MultiplyAdd(x_part, Format::LoadPart(w[s] + at, p), acc[s][p]);
    }
  }
}

// One row by kColumns columns from `column` on.
template <class Format, int kColumns>
void StreamColumns(const typename Format::Element* x, const typename Format::Element* w, float* y,
                   int64_t k, int64_t column) {
  using Element = typename Format::Element;
  const Element* columns[kColumns];
  for (int s = 0; s < kColumns; ++s) columns[s] = w + (column + s) * k;
  Vec acc[kColumns][kParts] = {};
  const int64_t whole = k / Format::kGroup * Format::kGroup;
  for (int64_t at = 0; at < whole; at += Format::kGroup) {
    StreamGroup<Format, kColumns>(x + at, columns, at, acc);
  }
  if (whole < k) {
    const Tail<Format> x_tail(x + whole, k - whole, Element{0});
    for (int s = 0; s < kColumns; ++s) {
      const Tail<Format> w_tail(columns[s] + whole, k - whole, Format::kMinusZero);
      const Element* const only[1] = {w_tail.values};
      Vec one[1][kParts];
      for (int p = 0; p < kParts; ++p) one[0][p] = acc[s][p];
      StreamGroup<Format, 1>(x_tail.values, only, 0, one);
      for (int p = 0; p < kParts; ++p) acc[s][p] = one[0][p];
    }
  }
  for (int s = 0; s < kColumns; ++s) y[column + s] = Fold(acc[s]);
}

template <class Format>
void MatMulStreamed(const typename Format::Element* x, const typename Format::Element* w, float* y,
                    const MatMulShape& shape) {
  int64_t n = shape.column_begin;
  for (; n + kStreams <= shape.column_end; n += kStreams) {
    for (int64_t m = 0; m < shape.num_rows; ++m) {
      StreamColumns<Format, kStreams>(x + m * shape.k, w, y + m * shape.y_stride, shape.k, n);
    }
  }
  for (; n < shape.column_end; ++n) {
    for (int64_t m = 0; m < shape.num_rows; ++m) {
      StreamColumns<Format, 1>(x + m * shape.k, w, y + m * shape.y_stride, shape.k, n);
    }
  }
}

// `count` elements of each of `rows` rows that lie `stride` apart.
template <class Format>
struct Operand {
  const typename Format::Element* from;
  int64_t stride;
  int64_t rows;
  int64_t count;
};

// Packs an operand for register tiles of kTile rows: [rows / kTile][line][kTile][16]. Rows up to
// the next multiple of kTile repeat the last one (their sums are never read).
template <class Format, int kTile>
void PackRows(const Operand<Format>& operand, typename Format::Element pad, float* to) {
  constexpr int64_t kGroup = Format::kGroup;
  const auto [from, stride, rows, count] = operand;
  const int64_t lines = (count + kGroup - 1) / kGroup * Format::kLines;
  for (int64_t r = 0; r < (rows + kTile - 1) / kTile * kTile; ++r) {
    const typename Format::Element* row = from + (r < rows ? r : rows - 1) * stride;
    float* line = to + (r / kTile * lines * kTile + r % kTile) * 16;
    int64_t at = 0;
    for (; at + kGroup <= count; at += kGroup, line += Format::kLines * kTile * 16) {
      Prefetch(row + stride +
               at);  // the next row: streams of one page each are too short to be seen
      for (int p = 0; p < kParts; ++p) {
        Format::StorePart(line, kTile * 16, p, Format::LoadPart(row + at, p));
      }
    }
    if (at == count) continue;
    const Tail<Format> tail(row + at, count - at, pad);
    for (int p = 0; p < kParts; ++p) {
      Format::StorePart(line, kTile * 16, p, Format::LoadPart(tail.values, p));
    }
  }
}

// Where the lane sums of row m and column n of a block lie: register tiles one after the other.
GYRATOR_SIMD constexpr int64_t SumsAt(int64_t m, int64_t n) {
  const int64_t tile = m / kMatMulRows * (kBlockColumns / kMatMulColumns) + n / kMatMulColumns;
  return ((tile * kMatMulRows + m % kMatMulRows) * kMatMulColumns + n % kMatMulColumns) * 16;
}

// sums [kMatMulRows][kMatMulColumns][16] += x * w over `lines` lines of one register tile.
template <class Format>
GYRATOR_SIMD void MultiplyTile(const float* x, const float* w, int64_t lines, bool first,
                               float* sums) {
  for (int p = 0; p < kParts; ++p) {
    const float* x_line = x + p * kLanes;
    const float* w_line = w + p * kLanes;
    float* to = sums + p * kLanes;
    Vec acc[kMatMulRows][kMatMulColumns] = {};
    if (!first) {
      for (int i = 0; i < kMatMulRows; ++i) {
        for (int j = 0; j < kMatMulColumns; ++j)
          acc[i][j] = Load(to + (i * kMatMulColumns + j) * 16);
      }
    }
    for (int64_t l = 0; l < lines; ++l, x_line += kMatMulRows * 16, w_line += kMatMulColumns * 16) {
      Vec columns[kMatMulColumns];
      for (int j = 0; j < kMatMulColumns; ++j) columns[j] = Load(w_line + j * 16);
      for (int i = 0; i < kMatMulRows; ++i) {
        const Vec row = Load(x_line + i * 16);
        for (int j = 0; j < kMatMulColumns; ++j) {
          acc[i][j] = Format::MultiplyAddLine(row, columns[j], acc[i][j]);
        }
      }
    }
    for (int i = 0; i < kMatMulRows; ++i) {
      for (int j = 0; j < kMatMulColumns; ++j) Store(to + (i * kMatMulColumns + j) * 16, acc[i][j]);
    }
  }
}

// A block of rows and columns over all of k.
template <class Format>
class PackedBlock {
 public:
  using Element = typename Format::Element;

  // y of at most kBlockRows rows and columns 0 .. column_end <= kBlockColumns.
  void Multiply(const Element* x, const Element* w, float* y, const MatMulShape& shape) {
    const int64_t rows = shape.num_rows;
    const int64_t columns = shape.column_end;
    constexpr int64_t kDepth = kBlockLines / Format::kLines * Format::kGroup;
    for (int64_t at = 0; at < shape.k; at += kDepth) {
      const int64_t count = shape.k - at < kDepth ? shape.k - at : kDepth;
      const int64_t lines = (count + Format::kGroup - 1) / Format::kGroup * Format::kLines;
      PackRows<Format, kMatMulRows>({x + at, shape.k, rows, count}, Element{0}, x_);
      for (int64_t n = 0; n < columns; n += kMatMulColumns) {
        const int64_t left = columns - n < kMatMulColumns ? columns - n : kMatMulColumns;
        PackRows<Format, kMatMulColumns>({w + n * shape.k + at, shape.k, left, count},
                                         Format::kMinusZero, w_);
        for (int64_t m = 0; m < rows; m += kMatMulRows) {
          MultiplyTile<Format>(x_ + m * lines * 16, w_, lines, at == 0, sums_ + SumsAt(m, n));
        }
      }
    }
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t n = 0; n < columns; ++n) {
        Vec lanes[kParts];
        for (int p = 0; p < kParts; ++p) lanes[p] = Load(sums_ + SumsAt(m, n) + p * kLanes);
        y[m * shape.y_stride + n] = Fold(lanes);
      }
    }
  }

 private:
  alignas(64) float x_[kBlockRows * kBlockLines * 16];
  alignas(64) float w_[kMatMulColumns * kBlockLines * 16];
  alignas(64) float sums_[kBlockRows * kBlockColumns * 16];
};

template <class Format>
void MatMulLanes(const typename Format::Element* x, const typename Format::Element* w, float* y,
                 const MatMulShape& shape) {
  if (shape.num_rows < kPackedRowsMin) return MatMulStreamed<Format>(x, w, y, shape);
  PackedBlock<Format> block;  // some 350 KB of stack, not initialised
  MatMulShape part = shape;
  part.column_begin = 0;
  for (int64_t n = shape.column_begin; n < shape.column_end; n += kBlockColumns) {
    part.column_end = shape.column_end - n < kBlockColumns ? shape.column_end - n : kBlockColumns;
    for (int64_t m = 0; m < shape.num_rows; m += kBlockRows) {
      part.num_rows = shape.num_rows - m < kBlockRows ? shape.num_rows - m : kBlockRows;
      block.Multiply(x + m * shape.k, w + n * shape.k, y + m * shape.y_stride + n, part);
    }
  }
}

}  // namespace
}  // namespace gyrator

// Matrix products in f32: lanes run along k, so both operands are read where they lie.
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
constexpr int64_t kLine = 16;          // floats
constexpr int64_t kBlockLines = 64;
constexpr int64_t kStreams = 4;
static_assert(kBlockRows % kMatMulRows == 0 && kBlockColumns % kMatMulColumns == 0);

// The last elements of a row, `pad` behind them.
struct LineTail {
  alignas(64) float values[kLine];
  GYRATOR_SIMD LineTail(const float* from, int64_t count, float pad) {
    for (int64_t i = 0; i < kLine; ++i) values[i] = i < count ? from[i] : pad;
  }
};

// acc[s] += the line's products of x with columns w[s].
template <int kColumns>
GYRATOR_SIMD void StreamLine(const float* x, const float* const (&w)[kColumns], int64_t at,
                             Vec (&acc)[kColumns][kParts]) {
  for (int p = 0; p < kParts; ++p) {
    const Vec x_part = Load(x + p * kLanes);
    for (int s = 0; s < kColumns; ++s) {
      acc[s][p] = Fma(x_part, Load(w[s] + at + p * kLanes), acc[s][p]);
    }
  }
}

// One row by kColumns columns from `column` on.
template <int kColumns>
void StreamColumns(const float* x, const float* w, float* y, int64_t k, int64_t column) {
  const float* columns[kColumns];
  for (int s = 0; s < kColumns; ++s) columns[s] = w + (column + s) * k;
  Vec acc[kColumns][kParts] = {};
  const int64_t whole = k / kLine * kLine;
  for (int64_t at = 0; at < whole; at += kLine) StreamLine<kColumns>(x + at, columns, at, acc);
  if (whole < k) {
    const LineTail x_tail(x + whole, k - whole, 0.0f);
    for (int s = 0; s < kColumns; ++s) {
      const LineTail w_tail(columns[s] + whole, k - whole, -0.0f);
      for (int p = 0; p < kParts; ++p) {
        acc[s][p] =
            Fma(Load(x_tail.values + p * kLanes), Load(w_tail.values + p * kLanes), acc[s][p]);
      }
    }
  }
  for (int s = 0; s < kColumns; ++s) y[column + s] = Fold(acc[s]);
}

void MatMulF32Streamed(const float* x, const float* w, float* y, const MatMulShape& shape) {
  int64_t n = 0;
  for (; n + kStreams <= shape.num_columns; n += kStreams) {
    for (int64_t m = 0; m < shape.num_rows; ++m) {
      StreamColumns<kStreams>(x + m * shape.k, w, y + m * shape.y_stride, shape.k, n);
    }
  }
  for (; n < shape.num_columns; ++n) {
    for (int64_t m = 0; m < shape.num_rows; ++m) {
      StreamColumns<1>(x + m * shape.k, w, y + m * shape.y_stride, shape.k, n);
    }
  }
}

// `count` elements of each of `rows` rows that lie `stride` apart.
struct F32Rows {
  const float* from;
  int64_t stride;
  int64_t rows;
  int64_t count;
};

// Packs rows for register tiles of kTile rows: [rows / kTile][line][kTile][16]. Rows up to the next
// multiple of kTile repeat the last one (their sums are never read).
template <int kTile>
void PackRows(const F32Rows& operand, float pad, float* to) {
  const auto [from, stride, rows, count] = operand;
  const int64_t lines = (count + kLine - 1) / kLine;
  for (int64_t r = 0; r < (rows + kTile - 1) / kTile * kTile; ++r) {
    const float* row = from + (r < rows ? r : rows - 1) * stride;
    float* line = to + (r / kTile * lines * kTile + r % kTile) * kLine;
    int64_t at = 0;
    for (; at + kLine <= count; at += kLine, line += kTile * kLine) {
      Prefetch(row + stride + at);  // the next row: streams of a page each are too short to be seen
      for (int p = 0; p < kParts; ++p) Store(line + p * kLanes, Load(row + at + p * kLanes));
    }
    if (at == count) continue;
    const LineTail tail(row + at, count - at, pad);
    for (int p = 0; p < kParts; ++p) Store(line + p * kLanes, Load(tail.values + p * kLanes));
  }
}

// Where the lane sums of row m and column n of a block lie: register tiles one after the other.
GYRATOR_SIMD constexpr int64_t SumsAt(int64_t m, int64_t n) {
  const int64_t tile = m / kMatMulRows * (kBlockColumns / kMatMulColumns) + n / kMatMulColumns;
  return ((tile * kMatMulRows + m % kMatMulRows) * kMatMulColumns + n % kMatMulColumns) * kLine;
}

// sums [kMatMulRows][kMatMulColumns][16] += x * w over `lines` lines of one register tile.
GYRATOR_SIMD void MultiplyF32Tile(const float* x, const float* w, int64_t lines, bool first,
                                  float* sums) {
  for (int p = 0; p < kParts; ++p) {
    const float* x_line = x + p * kLanes;
    const float* w_line = w + p * kLanes;
    float* to = sums + p * kLanes;
    Vec acc[kMatMulRows][kMatMulColumns] = {};
    if (!first) {
      for (int i = 0; i < kMatMulRows; ++i) {
        for (int j = 0; j < kMatMulColumns; ++j) {
          acc[i][j] = Load(to + (i * kMatMulColumns + j) * kLine);
        }
      }
    }
    for (int64_t l = 0; l < lines;
         ++l, x_line += kMatMulRows * kLine, w_line += kMatMulColumns * kLine) {
      Vec columns[kMatMulColumns];
      for (int j = 0; j < kMatMulColumns; ++j) columns[j] = Load(w_line + j * kLine);
      for (int i = 0; i < kMatMulRows; ++i) {
        const Vec row = Load(x_line + i * kLine);
        for (int j = 0; j < kMatMulColumns; ++j) acc[i][j] = Fma(row, columns[j], acc[i][j]);
      }
    }
    for (int i = 0; i < kMatMulRows; ++i) {
      for (int j = 0; j < kMatMulColumns; ++j) {
        Store(to + (i * kMatMulColumns + j) * kLine, acc[i][j]);
      }
    }
  }
}

// A block of rows and columns over all of k.
class F32Block {
 public:
  // y of at most kBlockRows rows and kBlockColumns columns.
  void Multiply(const float* x, const float* w, float* y, const MatMulShape& shape) {
    const int64_t rows = shape.num_rows;
    const int64_t columns = shape.num_columns;
    constexpr int64_t kDepth = kBlockLines * kLine;
    for (int64_t at = 0; at < shape.k; at += kDepth) {
      const int64_t count = shape.k - at < kDepth ? shape.k - at : kDepth;
      const int64_t lines = (count + kLine - 1) / kLine;
      PackRows<kMatMulRows>({x + at, shape.k, rows, count}, 0.0f, x_);
      for (int64_t n = 0; n < columns; n += kMatMulColumns) {
        const int64_t left = columns - n < kMatMulColumns ? columns - n : kMatMulColumns;
        PackRows<kMatMulColumns>({w + n * shape.k + at, shape.k, left, count}, -0.0f, w_);
        for (int64_t m = 0; m < rows; m += kMatMulRows) {
          MultiplyF32Tile(x_ + m * lines * kLine, w_, lines, at == 0, sums_ + SumsAt(m, n));
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
  alignas(64) float x_[kBlockRows * kBlockLines * kLine];
  alignas(64) float w_[kMatMulColumns * kBlockLines * kLine];
  alignas(64) float sums_[kBlockRows * kBlockColumns * kLine];
};

void MatMulF32(const float* x, const float* w, float* y, const MatMulShape& shape) {
  if (shape.num_rows < kPackedRowsMin) return MatMulF32Streamed(x, w, y, shape);
  F32Block block;  // some 350 KB of stack, not initialised
  MatMulShape part = shape;
  for (int64_t n = 0; n < shape.num_columns; n += kBlockColumns) {
    const int64_t columns = shape.num_columns - n;
    part.num_columns = columns < kBlockColumns ? columns : kBlockColumns;
    for (int64_t m = 0; m < shape.num_rows; m += kBlockRows) {
      const int64_t rows = shape.num_rows - m;
      part.num_rows = rows < kBlockRows ? rows : kBlockRows;
      block.Multiply(x + m * shape.k, w + n * shape.k, y + m * shape.y_stride + n, part);
    }
  }
}

}  // namespace
}  // namespace gyrator
